import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import fastify, { type FastifyInstance } from 'fastify';
import 'reflect-metadata';
import { PlainFastifyAdapter } from './fastify-adapter';

@Module({})
class EmptyModule {}

// PlainFastifyAdapter overrides methods that Nest calls while it starts. If this fails with a new version of Nest, it calls
// others, and takes over the answers to unknown paths and to errors, or puts its middleware before every route.
describe('PlainFastifyAdapter', () => {
  const start = async (adapterOf: (server: FastifyInstance) => FastifyAdapter) => {
    const server = fastify();
    server.setNotFoundHandler((_request, reply) => reply.code(404).send('our 404'));
    server.setErrorHandler((_error, _request, reply) => reply.code(500).send('our 500'));
    server.get('/fails', () => Promise.reject(new Error('failed')));
    const app = await NestFactory.create(EmptyModule, adapterOf(server), { logger: false });
    await app.init();
    return { app, server };
  };

  it('leaves the answers to unknown paths and to errors to the server, and adds no middleware', async () => {
    const { app, server } = await start((given) => new PlainFastifyAdapter(given));
    try {
      expect('use' in server).toBe(false);
      expect((await server.inject('/nowhere')).body).toBe('our 404');
      expect((await server.inject('/fails')).body).toBe('our 500');
    } finally {
      await app.close();
    }
  });

  it("is needed: Nest's own adapter sets a not-found handler, which Fastify allows once", async () => {
    await expect(start((given) => new FastifyAdapter(given as never))).rejects.toThrow('Not found handler already set');
  });
});
