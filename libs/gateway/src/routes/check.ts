import type { Authenticator } from '@rekey/authentication';
import { RekeyError, authenticateBody, checkAnswer, domainPath } from '@rekey/contracts';
import { permit, type Access } from '@rekey/platform';
import ipaddr from 'ipaddr.js';
import type { FastifyRequest } from 'fastify';
import { problemAnswer } from '../problem';
import { route, type Route } from '../route';

export interface CheckRoutesOptions {
  readonly authenticator: Pick<Authenticator, 'check' | 'checkBasic'>;
  readonly access: Pick<Access, 'authenticate'>;
  /** Networks whose machines may ask without a token: `http.forwardAuthFrom`. */
  readonly forwardAuthFrom: readonly string[];
}

/** The authentication check, for services that ask in JSON and for proxies that pass a request's headers on. */
export const checkRoutes = (options: CheckRoutesOptions): Route[] => {
  const networks = options.forwardAuthFrom.map((cidr) => ipaddr.parseCIDR(cidr));

  /** A proxy shows itself by its own token, or by the address that it connects from. */
  const permitProxy = async (request: FastifyRequest, domainId: string): Promise<void> => {
    const token = request.headers['rekey-authorization'];
    if (typeof token === 'string') return permit(await options.access.authenticate(token), 'check', domainId);
    const peer = request.socket.remoteAddress;
    if (peer !== undefined && ipaddr.isValid(peer)) {
      const address = ipaddr.process(peer);
      if (networks.some((network) => address.kind() === network[0].kind() && address.match(network))) return;
    }
    throw new RekeyError(
      'unauthenticated',
      'The proxy must send Rekey-Authorization or be listed in http.forwardAuthFrom.',
    );
  };

  return [
    route({
      method: 'POST',
      url: '/api/v1/domains/:domainId/authenticate',
      summary: 'Check a client id and secret',
      tag: 'Check',
      action: 'check',
      params: domainPath,
      body: authenticateBody,
      views: ['authentication'],
      answers: { 200: { description: 'The secret authenticates the client now.', body: checkAnswer } },
      errors: ['invalid_client_credentials', 'rate_limited'],
      examples: {
        request: { clientId: 'billing', clientSecret: 'the secret', remoteAddress: '203.0.113.7' },
        response: {
          valid: true, domainId: 'acme', clientId: 'billing', applicationId: '5f0c8b5e-6a5e-5a44-9c3a-2f9b6f0f7a10',
          secretId: '0a8f1f0e-3b0e-5d3c-8f5e-1f2f3f4f5f6f', version: 1, expiresAt: '2027-03-01T00:00:00.000Z',
        },
      },
      handle: async ({ params, body, request }) => {
        const result = await options.authenticator.check({
          domainId: params.domainId,
          clientId: body.clientId,
          clientSecret: body.clientSecret,
          remoteAddress: body.remoteAddress,
          limiterSource: body.remoteAddress ?? request.ip,
        });
        if (!result.valid) return problemAnswer(result.error, request.id);
        return { status: 200, headers: NO_STORE, body: result };
      },
    }),
    route({
      method: 'GET',
      url: '/api/v1/domains/:domainId/forward-auth',
      summary: 'Check the Basic credentials of a request that a proxy asks about',
      tag: 'Check',
      action: 'proxy',
      params: domainPath,
      answers: { 204: { description: 'Admitted: X-Rekey-* headers say who.' } },
      errors: ['unauthenticated', 'invalid_client_credentials', 'rate_limited', 'unavailable'],
      handle: async ({ params, request }) => {
        const { domainId } = params;
        await permitProxy(request, domainId);
        const { ip, headers } = request;
        const origin = { remoteAddress: ip, limiterSource: ip };
        const result = await options.authenticator.checkBasic(domainId, headers.authorization, origin);
        if (!result.valid) {
          const problem = problemAnswer(result.error, request.id);
          const challenge = { 'www-authenticate': `Basic realm="${domainId}", charset="UTF-8"` };
          return { ...problem, headers: { ...problem.headers, ...(problem.status === 401 && challenge) } };
        }
        return {
          status: 204,
          headers: {
            ...NO_STORE,
            'x-rekey-domain-id': domainId,
            'x-rekey-client-id': result.clientId,
            'x-rekey-application-id': result.applicationId,
            'x-rekey-secret-id': result.secretId,
            'x-rekey-secret-version': String(result.version),
            ...(result.expiresAt !== undefined && { 'x-rekey-expires-at': result.expiresAt }),
          },
        };
      },
    }),
  ]; // prettier-ignore
};

const NO_STORE = { 'cache-control': 'no-store' };
