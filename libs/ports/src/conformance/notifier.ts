import type { ExpiryNotice, Notifier } from '../notifier';

/** A notice to send in tests. */
export const exampleNotice = (more: Partial<ExpiryNotice> = {}): ExpiryNotice => ({
  messageId: '5f0f7cf6-5f4c-5b7b-9d6d-3f5a1b5c7e11',
  domainId: 'shop',
  domainName: 'Shop',
  applicationId: '0b8c2a3e-9f62-5a0e-8d8f-4f2f6a1b9c33',
  applicationName: 'Checkout',
  clientId: 'checkout',
  secretId: '7c9e6679-7425-40de-944b-e07fc1f90ae7',
  version: 2,
  description: 'production',
  expiresAt: '2027-01-01T00:00:00.000Z',
  threshold: 5,
  contacts: ['ops@example.com', 'dev@example.com'],
  ...more,
});

/** Conformance suite of `Notifier`. `make` returns one whose receiver accepts everything. */
export const notifierConformance = (name: string, make: () => Notifier | Promise<Notifier>): void => {
  describe(`${name} as a Notifier`, () => {
    it('has a channel name that can be part of an id', async () => {
      expect((await make()).channel).toMatch(/^[a-z]+$/);
    });

    it('returns the number of recipients', async () => {
      const { recipients } = await (await make()).send(exampleNotice());
      expect(Number.isInteger(recipients) && recipients > 0).toBe(true);
    });

    it('sends the same notice again', async () => {
      const notifier = await make();
      expect(await notifier.send(exampleNotice())).toEqual(await notifier.send(exampleNotice()));
    });

    it('sends a notice of a past expiry', async () => {
      await (await make()).send(exampleNotice({ threshold: 0, expiresAt: '2020-01-01T00:00:00.000Z' }));
    });

    it('sends any text in names', async () => {
      const odd = 'a"b\\c\r\nBcc: d <e>\u2028{{f}}%s ä \u{1f511}';
      await (await make()).send(exampleNotice({ description: odd, applicationName: odd, domainName: odd }));
    });

    it('sends a notice without contacts', async () => {
      const { recipients } = await (await make()).send(exampleNotice({ contacts: [] }));
      expect(recipients).toBeGreaterThanOrEqual(0);
    });
  });
};
