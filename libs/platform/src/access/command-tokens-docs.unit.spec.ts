import { ManualClock, type CommandRecord } from '@rekey/ports';
import { compactVerify, importJWK, type JWK } from 'jose';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { CommandTokens, commandSigner, routeHash, valueHash } from './command-tokens';

const page = readFileSync(path.resolve(__dirname, '../../../../docs/kafka.md'), 'utf8');
const example = /### An example\n([\s\S]*?)\n## /.exec(page)?.[1] ?? '';
const [keyText = '', value = '', fields = '', preimage = '', claims = '', tokenText = ''] = [
  ...example.matchAll(/```(?:json)?\n([\s\S]*?)\n```/g),
].map(([, block = '']) => block);

const field = (name: string): Buffer => Buffer.from(new RegExp(`^${name} +(.*)$`, 'm').exec(fields)?.[1] ?? '');
const record: CommandRecord = {
  value: Buffer.from(value),
  key: field('key'),
  replyTopic: field('kafka_replyTopic'),
  replyPartition: field('kafka_replyPartition'),
  correlationId: field('kafka_correlationId'),
};
const token = tokenText.replaceAll('\n', '');
const key = JSON.parse(keyText) as JWK;
const { d: _, ...publicKey } = key;
const stated = JSON.parse(claims) as { jti: string; iat: number; bh: string; rh: string };

describe('the example of docs/kafka.md', () => {
  it('has the documented hashes', () => {
    expect(example).toContain(`${record.value.length} bytes`);
    const bytes = Buffer.from(preimage.replaceAll(/\s/g, ''), 'hex');
    expect(createHash('sha256').update(bytes).digest('base64url')).toBe(stated.rh);
    expect([valueHash(record), routeHash(record)]).toEqual([stated.bh, stated.rh]);
    expect(page).toContain(`\`${routeHash({ value: record.value })}\``);
  });

  it('has the token that its key signs over its claims', async () => {
    const { payload, protectedHeader } = await compactVerify(token, await importJWK(publicKey, 'EdDSA'));
    expect(new TextDecoder().decode(payload)).toBe(claims);
    expect(example).toContain(`\`${JSON.stringify(protectedHeader)}\``);
  });

  it('verifies, and equals what Rekey signs', async () => {
    const sender = { name: 'billing', roles: ['manager' as const], domains: ['shop'], mayActFor: false };
    const tokens = new CommandTokens([{ ...sender, publicJwks: { keys: [publicKey] } }], 'rekey');
    const caller = { type: 'service' as const, name: 'billing', roles: sender.roles, domains: sender.domains };
    const atMs = Date.parse('2026-12-01T09:00:00Z');
    const expected = { caller, fresh: true };
    expect(await tokens.verify(`Bearer ${token}`, record, stated.jti, atMs)).toEqual(expected);
    const clock = new ManualClock(atMs);
    const sign = commandSigner({ name: 'billing', privateKey: key, audience: 'rekey', clock });
    const command = JSON.parse(value) as never;
    const own = await sign({ command, caller, correlationId: 'order-4711' }, record);
    expect(await tokens.verify(own, record, stated.jti, atMs)).toEqual({ ...expected, correlationId: 'order-4711' });
  });
});
