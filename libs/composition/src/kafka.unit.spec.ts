import { loadConfig } from '@rekey/platform';
import { kafkaTopicsOf, replyTopicsOf } from './kafka';

describe('the topics of a configuration', () => {
  it('have the names that senders are told, where nothing is said', () => {
    const config = loadConfig({ env: {} });
    expect(kafkaTopicsOf(config)).toMatchObject({
      commands: 'rekey.commands',
      reply: 'rekey.commands.reply',
      dead: 'rekey.commands.dead',
      events: 'rekey.events',
      notifications: 'rekey.notifications',
    });
    expect(replyTopicsOf(config)).toEqual(['rekey.commands.reply', 'rekey.replies.*']);
  });

  it('have the prefix before their whole names, and so have groups and reply topics', () => {
    const config = loadConfig({ env: { REKEY_KAFKA_TOPICPREFIX: 'eu.' } });
    const names = [...Object.values(kafkaTopicsOf(config)), ...replyTopicsOf(config)];
    expect(names.filter((name) => !name.startsWith('eu.rekey.'))).toEqual([]);
    expect(names.length).toBeGreaterThan(7);
  });

  it('have a topic of notices by its own name, where it is given one', () => {
    const config = loadConfig({ env: { REKEY_KAFKA_TOPICPREFIX: 'eu.', REKEY_NOTIFIERS_KAFKA_TOPIC: 'notices' } });
    expect(kafkaTopicsOf(config).notifications).toBe('notices');
  });
});
