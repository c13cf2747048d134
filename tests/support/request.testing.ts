/** Parsed JSON of any shape. */
export type Json = ReturnType<typeof JSON.parse>;

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** Parsed JSON; undefined if the body is not JSON. */
  readonly body: Json;
  readonly text: string;
}

export interface RequestOptions {
  readonly token?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * Sends a request to a path under `/api/v1` of a server, or from its root if the path begins with `//`. A string as body is
 * sent unchanged, anything else as JSON.
 */
export const request = async (
  { url: base, token: ownToken }: { readonly url: string; readonly token: string },
  method: string,
  target: string,
  body?: unknown,
  { token = ownToken, headers = {} }: RequestOptions = {},
): Promise<Answer> => {
  const url = target.startsWith('//') ? `${base}${target.slice(1)}` : `${base}/api/v1${target}`;
  const response = await fetch(url, {
    method,
    headers: {
      ...(token !== null && { authorization: `Bearer ${token}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const json = /[/+]json$/.test((response.headers.get('content-type') ?? '').replace(/;.*/, ''));
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: json && text !== '' ? JSON.parse(text) : undefined,
  };
};
