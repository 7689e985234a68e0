/** Which calls through the gateway a person has to agree to. */
export const confirms = ['off', 'destructive', 'writes'] as const;
export type Confirm = (typeof confirms)[number];
