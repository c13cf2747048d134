import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';

/**
 * Nest on a server that answers errors itself: the routes of the gateway are Fastify's own, and so are its answers to
 * what has no route and to what goes wrong. Nest keeps the life cycle.
 */
export class PlainFastifyAdapter extends FastifyAdapter {
  constructor(server: FastifyInstance) {
    super(server as never);
  }

  override setNotFoundHandler(): ReturnType<FastifyAdapter['setNotFoundHandler']> {
    // The server has its own, set when it was made.
    return this.getInstance() as never;
  }

  override setErrorHandler(): ReturnType<FastifyAdapter['setErrorHandler']> {
    // Likewise.
    return this.getInstance() as never;
  }
}
