/** Settings of the alerts. Addresses of webhooks may be secrets: complaints never repeat them. */
import { z } from 'zod';

import type { WebhookKind } from './messages.ts';
import type { Webhook } from './webhooks.ts';

const isAddress = (text: string) => {
  const url = URL.parse(text);
  return (
    url !== null && ['http:', 'https:'].includes(url.protocol) && url.username === '' && url.password === ''
  );
};

const addresses = z
  .string()
  .transform((text) => text.split(/\s+/).filter((part) => part !== ''))
  .refine(
    (urls) => urls.every(isAddress),
    'must be addresses that begin with https:// or http://, without a user or password, with spaces between',
  )
  .optional();

const oneWord = z
  .string()
  .regex(/^[\x21-\x7e]+$/, 'must be one word')
  .optional();

export const alertSettings = {
  FLOTILLA_HEALTH_WEBHOOK_URL: addresses.describe(
    'Where alerts are sent as JSON (health/README.md has the form); several with spaces between.',
  ),
  FLOTILLA_HEALTH_WEBHOOK_SECRET: oneWord.describe(
    'Signs that JSON: flotilla-signature has the HMAC-SHA256 of the body.',
  ),
  FLOTILLA_HEALTH_SLACK_URL: addresses.describe(
    'An incoming webhook of Slack, or of what takes the same; several with spaces between.',
  ),
  FLOTILLA_HEALTH_NTFY_URL: addresses.describe(
    'A topic of ntfy, such as https://ntfy.sh/TOPIC; several with spaces between.',
  ),
  FLOTILLA_HEALTH_NTFY_TOKEN: oneWord.describe('The access token for that topic.'),
  FLOTILLA_HEALTH_REMIND_MINUTES: z.coerce
    .number('must be a number')
    .int('must be a whole number')
    .refine(
      (minutes) => minutes === 0 || (minutes >= 5 && minutes <= 10_080),
      'must be 5 to 10080, or 0 for no reminders',
    )
    .default(240)
    .describe('At least so long lies between two reminders of an alert that is still open; 0 for none.'),
};

const ofKind = (kind: WebhookKind, urls: readonly string[] = [], more: Partial<Webhook> = {}) =>
  urls.map((url): Webhook => ({ kind, url, ...more }));

export function webhooksOf(settings: z.output<z.ZodObject<typeof alertSettings>>): readonly Webhook[] {
  return [
    ...ofKind('json', settings.FLOTILLA_HEALTH_WEBHOOK_URL, {
      secret: settings.FLOTILLA_HEALTH_WEBHOOK_SECRET,
    }),
    ...ofKind('slack', settings.FLOTILLA_HEALTH_SLACK_URL),
    ...ofKind('ntfy', settings.FLOTILLA_HEALTH_NTFY_URL, { token: settings.FLOTILLA_HEALTH_NTFY_TOKEN }),
  ];
}
