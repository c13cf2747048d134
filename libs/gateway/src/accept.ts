/** Weight of a media type in `Accept` (RFC 9110 §12.5.1): that of the range which names it most closely, 0 to 1. */
const weightOf = (accept: string, type: string): number => {
  const [main] = type.split('/');
  let closest = -1;
  let weight = 0;
  for (const part of accept.split(',')) {
    const [range = '', ...parameters] = part.split(';').map((text) => text.trim().toLowerCase());
    const closeness = [`*/*`, `${main}/*`, type].indexOf(range);
    if (closeness <= closest) continue;
    const q = parameters.find((parameter) => /^q\s*=/.test(parameter));
    const given = q === undefined ? 1 : Number(q.slice(q.indexOf('=') + 1));
    closest = closeness;
    weight = given >= 0 && given <= 1 ? given : 0;
  }
  return weight;
};

/** Whether a caller wants a media type rather than JSON, which is what they get where they do not say. */
export const prefers = (accept: string | undefined, type: string): boolean =>
  accept !== undefined && weightOf(accept, type) > weightOf(accept, 'application/json');
