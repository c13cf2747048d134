import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';

type Answer<Name extends 'setNotFoundHandler' | 'setErrorHandler'> = ReturnType<FastifyAdapter[Name]>;

/**
 * Nest on a server that answers errors itself: the routes of the gateway are Fastify's own, and so are its answers to
 * what has no route and to what goes wrong, set when it was made. Nest keeps the life cycle.
 */
export class PlainFastifyAdapter extends FastifyAdapter {
  constructor(private readonly server: FastifyInstance) {
    super(server as never);
  }

  /** Without the middleware layer that Nest would put before every route: there is none. */
  override init(): Promise<void> {
    return Promise.resolve();
  }

  override setNotFoundHandler(): Answer<'setNotFoundHandler'> {
    return this.server as never;
  }

  override setErrorHandler(): Answer<'setErrorHandler'> {
    return this.server as never;
  }
}
