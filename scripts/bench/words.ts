/** Text for what is stored: in no two the same. */
const words =
  'the plan is to look at the log first and then at the disk because both were full before '.split(' ');

/** Of a length in bytes, and none like the one before. */
export function contentOf(number: number, bytes: number): string {
  let text = `${number}:`;
  for (let at = number; text.length < bytes; at += 1) text += ` ${words[at % words.length]}`;
  return text.slice(0, bytes);
}
