/** One thing to write: a chapter at the end of a file of the repository. */
export interface Task {
  readonly file: string;
  readonly title: string;
}

export const whoIs = (name: string) => name.split('-')[0] ?? name;
