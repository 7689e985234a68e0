/** What there is to do, and what a model would make of it: here each task has its answer, so that you can compare the code with what you see. */
export const features = 'features.txt';

export interface Job {
  readonly key: string;
  readonly title: string;
  readonly description: string;
  /** Joins the line of features, which two tasks change at once. */
  readonly feature?: string;
  readonly file: string;
  /** Each is a commit. */
  readonly chapters: readonly string[];
  readonly needs?: readonly string[];
}

export const jobs: readonly Job[] = [
  {
    key: 'cards',
    title: 'Take cards',
    description: 'Add cards to features.txt, and say in cards.md how to pay with one.',
    feature: 'cards',
    file: 'cards.md',
    chapters: ['Paying with a card'],
  },
  {
    key: 'coupons',
    title: 'Take coupons',
    description: 'Add coupons to features.txt, and say in coupons.md how to use one.',
    feature: 'coupons',
    file: 'coupons.md',
    chapters: ['Using a coupon'],
  },
  {
    key: 'guide',
    title: 'Write the guide',
    description: 'Write guide.md: how to begin, and how to go on.',
    file: 'guide.md',
    chapters: ['How to begin', 'How to go on'],
  },
  {
    key: 'news',
    title: 'Write the release notes',
    description: 'Say in news.md what is new, when all of it is there.',
    file: 'news.md',
    chapters: ['What is new'],
    needs: ['cards', 'coupons', 'guide'],
  },
];

const namesIn = (line: string) =>
  line
    .replace('features:', '')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');

/** The line with one more feature, or with all that two lines have. */
export const joined = (line: string, more: string): string =>
  `features: ${[...new Set([...namesIn(line), ...namesIn(more)])].toSorted().join(', ')}\n`;
