/**
 * Names that people type are the same in whichever form their characters are written: é may be one character or two. They are
 * looked up in NFC.
 */

// oxlint-disable-next-line no-control-regex -- that is what ASCII is
const ascii = /^[\0-\x7f]*$/;

export const composed = (name: string): string => (ascii.test(name) ? name : name.normalize('NFC'));
