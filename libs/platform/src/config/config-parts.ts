import { z } from 'zod';

export const filePath = z.string().trim().min(1);
export const milliseconds = (min: number, max = 3_600_000) => z.int().min(min).max(max);
export const webUrl = z.url({ protocol: /^https?$/, error: 'must be an http or https URL' });

/** A section of keys. May be absent. */
export const section = <Shape extends z.core.$ZodLooseShape>(shape: Shape) =>
  z.strictObject(shape).prefault({} as never);

export const unique = <T>(values: readonly T[]): boolean => new Set(values).size === values.length;
