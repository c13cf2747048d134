import { RekeyError, authenticateBody, checkAnswer, domainPath } from '@rekey/contracts';
import { permit } from '@rekey/platform';
import type { FastifyRequest } from 'fastify';
import ipaddr from 'ipaddr.js';
import { IDS } from '../examples';
import { problemAnswer } from '../problem';
import { route } from '../route';
import type { Services } from '../services';

const NO_STORE = { 'cache-control': 'no-store' };

export const authenticate = route({
  method: 'POST',
  url: '/api/v1/domains/:domainId/authenticate',
  summary: 'Check a client id and secret value',
  tag: 'Check',
  action: 'check',
  params: domainPath,
  body: authenticateBody,
  views: ['authentication'],
  answers: {
    200: {
      description: 'The secret value authenticates the client.',
      body: checkAnswer,
      example: {
        valid: true,
        domainId: 'acme',
        clientId: 'billing',
        applicationId: IDS.application,
        secretId: IDS.secret,
        version: 1,
        expiresAt: '2027-03-01T00:00:00.000Z',
      },
    },
  },
  errors: ['invalid_client_credentials', 'rate_limited'],
  example: { clientId: 'billing', clientSecret: 'the secret', remoteAddress: '203.0.113.7' },
  handle: async ({ params, body, request }, { authenticator }: Services) => {
    const result = await authenticator.check({
      domainId: params.domainId,
      clientId: body.clientId,
      clientSecret: body.clientSecret,
      remoteAddress: body.remoteAddress,
      limiterSource: body.remoteAddress ?? request.ip,
    });
    if (!result.valid) return problemAnswer(result.error, request.id);
    return { status: 200, headers: NO_STORE, body: result };
  },
});

export const forwardAuth = route({
  method: 'GET',
  url: '/api/v1/domains/:domainId/forward-auth',
  summary: 'Check the Basic credentials of a request on behalf of a proxy (forward auth)',
  tag: 'Check',
  action: 'proxy',
  params: domainPath,
  answers: {
    204: {
      description:
        'Authenticated; the X-Rekey-* headers identify the client. In the client id, % and spaces are percent-encoded.',
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
  handle: async ({ params: { domainId }, request }, services: Services) => {
    await permitProxy(request, domainId, services);
    const { ip, headers } = request;
    const origin = { remoteAddress: ip, limiterSource: ip };
    const result = await services.authenticator.checkBasic(domainId, headers.authorization, origin);
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
});

/** Throws unless the proxy sends a token with the permission `check`, or connects from `http.forwardAuthFrom`. */
const permitProxy = async (
  request: FastifyRequest,
  domainId: string,
  { access, proxyNetworks }: Services,
): Promise<void> => {
  const token = request.headers['rekey-authorization'];
  if (typeof token === 'string') return permit(await access.authenticate(token), 'check', domainId);
  const peer = request.socket.remoteAddress;
  if (peer !== undefined && ipaddr.isValid(peer)) {
    const address = ipaddr.process(peer);
    if (proxyNetworks.some((network) => address.kind() === network[0].kind() && address.match(network))) return;
  }
  throw new RekeyError(
    'unauthenticated',
    "Send the proxy's token in Rekey-Authorization, or add its network to http.forwardAuthFrom.",
  );
};

/** Encodes spaces, as those at the ends of a header value are lost, and ids that differ only in them would be equal. */
const headerText = (text: string): string => text.replaceAll('%', '%25').replaceAll(' ', '%20');
