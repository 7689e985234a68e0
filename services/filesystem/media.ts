/** What a file is, by its bytes: its name only says what somebody meant, and a client that is told wrong can break. */
import { isUtf8 } from 'node:buffer';

export interface Media {
  /** Images are those that models take: others are files like any. */
  readonly kind: 'image' | 'audio' | 'svg' | 'other';
  readonly mimeType: string;
}

const svg: Media = { kind: 'svg', mimeType: 'image/svg+xml' };
const signatureBytes = 16;

/** Where which bytes stand, each as the character of its number. */
type Signature = readonly (readonly [offset: number, bytes: string])[];

const signatures: readonly (readonly [Media['kind'], string, Signature])[] = [
  [
    'image',
    'image/png',
    [
      [0, '\x89PNG\r\n\x1a\n'],
      [12, 'IHDR'],
    ],
  ],
  ['image', 'image/jpeg', [[0, '\xff\xd8\xff']]],
  ['image', 'image/gif', [[0, 'GIF87a']]],
  ['image', 'image/gif', [[0, 'GIF89a']]],
  [
    'image',
    'image/webp',
    [
      [0, 'RIFF'],
      [8, 'WEBPVP8'],
    ],
  ],
  ['audio', 'audio/mpeg', [[0, 'ID3']]],
  [
    'audio',
    'audio/wav',
    [
      [0, 'RIFF'],
      [8, 'WAVE'],
    ],
  ],
  ['audio', 'audio/ogg', [[0, 'OggS\0']]],
  ['audio', 'audio/flac', [[0, 'fLaC']]],
  ['audio', 'audio/mp4', [[4, 'ftypM4A ']]],
  ['other', 'application/pdf', [[0, '%PDF-']]],
  [
    'other',
    'image/bmp',
    [
      [0, 'BM'],
      [6, '\0\0\0\0'],
    ],
  ],
  ['other', 'image/tiff', [[0, 'II*\0']]],
  ['other', 'image/tiff', [[0, 'MM\0*']]],
  ['other', 'application/zip', [[0, 'PK\x03\x04']]],
  ['other', 'application/gzip', [[0, '\x1f\x8b']]],
];

/** The head of a frame of MPEG layer III: its bit rate and sampling rate have to exist. */
function isMp3Frame([first, second = 0, third = 0]: Buffer): boolean {
  const [bitRate, samplingRate] = [third >> 4, (third >> 2) & 3];
  const isLayer3 = first === 0xff && [0xe2, 0xe3, 0xf2, 0xf3, 0xfa, 0xfb].includes(second);
  return isLayer3 && bitRate > 0 && bitRate < 15 && samplingRate < 3;
}

/** How far into a file comments may reach before its drawing begins. */
const svgHeadBytes = 10_000;

export function mediaOf(contents: Buffer, name: string): Media {
  const start = contents.toString('latin1', 0, signatureBytes);
  for (const [kind, mimeType, signature] of signatures) {
    if (signature.every(([offset, bytes]) => start.startsWith(bytes, offset))) return { kind, mimeType };
  }
  if (isMp3Frame(contents)) return { kind: 'audio', mimeType: 'audio/mpeg' };
  return isSvg(contents, name) ? svg : { kind: 'other', mimeType: 'application/octet-stream' };
}

function isSvg(contents: Buffer, name: string): boolean {
  if (contents.includes(0) || !isUtf8(contents)) return false;
  if (/\.svg$/i.test(name)) return true;
  const head = contents.toString('utf8', 0, svgHeadBytes).replace('\ufeff', '').trimStart();
  return head.startsWith('<') && /<svg[\s>]/.test(head);
}
