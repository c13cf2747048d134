import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';

type Answer<Name extends 'setNotFoundHandler' | 'setErrorHandler'> = ReturnType<FastifyAdapter[Name]>;

/**
 * Fastify adapter for a server that already has its routes, its not-found handler and its error handler. Nest manages
 * the life cycle only.
 */
export class PlainFastifyAdapter extends FastifyAdapter {
  constructor(private readonly server: FastifyInstance) {
    super(server as never);
  }

  /** Does not register the middleware layer that Nest otherwise runs before every route. */
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
