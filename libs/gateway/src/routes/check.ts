import type { Authenticator } from '@rekey/authentication';
import { RekeyError, authenticateBody, checkAnswer, domainPath } from '@rekey/contracts';
import { permit, type Access } from '@rekey/platform';
import ipaddr from 'ipaddr.js';
import type { FastifyRequest } from 'fastify';
import { IDS } from '../examples';
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
      answers: {
        200: { description: 'The secret authenticates the client now.', body: checkAnswer, example: ADMITTED },
      },
      errors: ['invalid_client_credentials', 'rate_limited'],
      example: { clientId: 'billing', clientSecret: 'the secret', remoteAddress: '203.0.113.7' },
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
      answers: {
        204: {
          description: 'Admitted: X-Rekey-* headers say who. In the client id, % and spaces are percent-encoded.',
          headers: [
            'x-rekey-domain-id',
            'x-rekey-client-id',
            'x-rekey-application-id',
            'x-rekey-secret-id',
            'x-rekey-secret-version',
            'x-rekey-expires-at',
          ],
        },
      },
      errors: ['invalid_client_credentials', 'rate_limited'],
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
            'x-rekey-client-id': headerText(result.clientId),
            'x-rekey-application-id': result.applicationId,
            'x-rekey-secret-id': result.secretId,
            'x-rekey-secret-version': String(result.version),
            ...(result.expiresAt !== undefined && { 'x-rekey-expires-at': result.expiresAt }),
          },
        };
      },
    }),
  ];
};

const NO_STORE = { 'cache-control': 'no-store' };

/** Spaces at the ends of a header do not arrive, so ids that differ in them only would be one. */
const headerText = (text: string): string => text.replaceAll('%', '%25').replaceAll(' ', '%20');

const ADMITTED = {
  valid: true,
  domainId: 'acme',
  clientId: 'billing',
  applicationId: IDS.application,
  secretId: IDS.secret,
  version: 1,
  expiresAt: '2027-03-01T00:00:00.000Z',
};
