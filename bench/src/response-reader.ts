const HEADERS_END = Buffer.from('\r\n\r\n');
const LAST_CHUNK = '0\r\n\r\n';
const CONTENT_LENGTH = /\r\ncontent-length: *(\d+)/i;
const CHUNKED = /\r\ntransfer-encoding: *chunked/i;
/** Offset of the status code in `HTTP/1.1 200 OK`. */
const STATUS_AT = 9;

/** A complete answer. */
export interface Answer {
  readonly status: number;
  readonly body: string;
}

/**
 * Parses HTTP/1.1 answers on a connection with one request at a time. Supports what the measured servers send of RFC
 * 9112: Content-Length, chunks without trailers, or no body.
 */
export class ResponseReader {
  private pending: Buffer | undefined;

  /** Returns the status of the answer that ends with these bytes, or undefined if it is incomplete. */
  push(bytes: Buffer): number | undefined {
    const answer = this.take(bytes);
    return answer === undefined ? undefined : statusOf(answer.all);
  }

  /** As `push`, with the body as UTF-8. A chunked body is not decoded. */
  pushWhole(bytes: Buffer): Answer | undefined {
    const answer = this.take(bytes);
    return answer && { status: statusOf(answer.all), body: answer.all.toString('utf8', answer.bodyAt) };
  }

  private take(bytes: Buffer): { all: Buffer; bodyAt: number } | undefined {
    const all = this.pending ? Buffer.concat([this.pending, bytes]) : bytes;
    const headersEnd = all.indexOf(HEADERS_END);
    const bodyAt = headersEnd + HEADERS_END.length;
    if (headersEnd >= 0 && isWhole(all, headersEnd, bodyAt)) {
      this.pending = undefined;
      return { all, bodyAt };
    }
    // Copied, because the socket reuses the buffer.
    this.pending = this.pending ? all : Buffer.from(bytes);
    return undefined;
  }
}

const statusOf = (bytes: Buffer): number => Number(bytes.toString('latin1', STATUS_AT, STATUS_AT + 3));

const isWhole = (all: Buffer, headersEnd: number, bodyAt: number): boolean => {
  const headers = all.toString('latin1', 0, headersEnd);
  const length = CONTENT_LENGTH.exec(headers)?.[1];
  if (length !== undefined) return all.length - bodyAt >= Number(length);
  if (CHUNKED.test(headers)) return all.toString('latin1', bodyAt).endsWith(LAST_CHUNK);
  return true;
};
