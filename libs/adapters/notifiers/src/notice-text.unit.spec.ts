import { exampleNotice } from '@rekey/ports/conformance';
import { noticeText } from './notice-text';

const EXPIRES_AT = '2027-01-01T00:00:00.000Z';
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const subjectBefore = (leftMs: number, threshold = 5): string =>
  noticeText(exampleNotice({ expiresAt: EXPIRES_AT, threshold }), Date.parse(EXPIRES_AT) - leftMs).subject;

describe('noticeText', () => {
  it.each([
    [20 * DAY, 'in 20 days'],
    [5 * DAY, 'in 5 days'],
    [5 * DAY - 300, 'in 5 days'],
    [5 * DAY - 4 * HOUR, 'in 4 days and 20 hours'],
    [DAY + HOUR, 'in 1 day and 1 hour'],
    [DAY, 'in 1 day'],
    [DAY - 1, 'in 1 day'],
    [DAY - HOUR, 'in 23 hours'],
    [2 * HOUR + 20 * MINUTE, 'in 2 hours and 20 minutes'],
    [HOUR, 'in 1 hour'],
    [HOUR - 1, 'in 1 hour'],
    [90_000, 'in 1 minute and 30 seconds'],
    [MINUTE, 'in 1 minute'],
    [30_000, 'in 30 seconds'],
    [1, 'in 1 second'],
  ])('%d ms before the expiry it says "%s"', (leftMs, words) => {
    expect(subjectBefore(leftMs)).toBe(
      `The secret "production" of application "Checkout" expires ${words}, at ${EXPIRES_AT}`,
    );
  });

  it.each([0, -1, -3 * DAY])('%d ms before the expiry it says that it has expired', (leftMs) => {
    expect(subjectBefore(leftMs)).toBe(
      `The secret "production" of application "Checkout" expired at 2027-01-01T00:00:00.000Z`,
    );
  });

  it('calls the notice of the expiry itself by that name, whatever this clock says', () => {
    expect(subjectBefore(50, 0)).toContain('expired at 2027-01-01T00:00:00.000Z');
  });

  it('names domain, client id and version in whole sentences, and what to do', () => {
    const at = (leftMs: number): string => noticeText(exampleNotice(), Date.parse(EXPIRES_AT) - leftMs).body;
    expect(at(5 * DAY)).toBe(
      'The secret "production" (version 2) of application "Checkout" (client id checkout) in domain "Shop" ' +
        'expires in 5 days, at 2027-01-01T00:00:00.000Z.\n' +
        'Renew it before then, or move to another secret of the application.',
    );
    expect(at(0)).toContain('expired at 2027-01-01T00:00:00.000Z.\nIt no longer authenticates.');
  });

  it('says which version still authenticates when the current one expired during an overlap', () => {
    const previousValidUntil = '2027-01-03T00:00:00.000Z';
    const notice = exampleNotice({ threshold: 0, previousValidUntil });
    const { subject, body } = noticeText(notice, Date.parse(EXPIRES_AT));
    expect(subject).toBe(
      'Version 2 of the secret "production" of application "Checkout" expired at 2027-01-01T00:00:00.000Z',
    );
    expect(body).toBe(
      'Version 2 of the secret "production" of application "Checkout" (client id checkout) in domain "Shop" ' +
        'expired at 2027-01-01T00:00:00.000Z.\n' +
        'Version 1 still authenticates until 2027-01-03T00:00:00.000Z. Move its clients to another secret of the ' +
        'application before then; a renewal of this secret ends version 1 at once.',
    );
    expect(noticeText(notice, Date.parse(EXPIRES_AT) - 1).body).toBe(body);
    expect(noticeText(notice, Date.parse(previousValidUntil)).body).toContain('It no longer authenticates.');
  });

  it('keeps its subject one line, whatever the names hold', () => {
    const { subject } = noticeText(exampleNotice({ description: 'a\r\nBcc: x\u2028y\0z' }), 0);
    expect(subject).toContain('"a Bcc: x y z"');
  });
});
