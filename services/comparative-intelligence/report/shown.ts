/** Numbers and names as people read them. */
import type { Figure } from '../figure.ts';

const digits = (value: number): string =>
  Number.isInteger(value) || Math.abs(value) >= 1_000 ? value.toFixed(0) : value.toPrecision(3);

export const shownValue = ({ value }: Pick<Figure, 'value'>): string =>
  value === null ? '–' : digits(value);

export const shownInterval = ({ ci95 }: Pick<Figure, 'ci95'>): string =>
  ci95 === null ? '–' : ci95.map(digits).join(' to ');

export const shownP = (p: number): string => (p < 0.001 ? '< 0.001' : p.toFixed(3));

export const shownMix = (mix: Readonly<Record<string, number>>): string =>
  Object.entries(mix)
    .map(([source, n]) => `${n} ${source.replaceAll('_', ' ')}`)
    .join(', ') || 'none';
