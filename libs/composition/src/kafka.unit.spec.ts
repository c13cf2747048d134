import { loadConfig } from '@rekey/platform';
import { kafkaTopicsOf, replyTopicsOf } from './kafka';

describe('topics of a configuration', () => {
  it('have the documented names by default', () => {
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

  it('all start with kafka.topicPrefix, reply topics included', () => {
    const config = loadConfig({ env: { REKEY_KAFKA_TOPICPREFIX: 'eu.' } });
    const names = [...Object.values(kafkaTopicsOf(config)), ...replyTopicsOf(config)];
    expect(names.filter((name) => !name.startsWith('eu.rekey.'))).toEqual([]);
    expect(names.length).toBeGreaterThan(7);
  });

  it('use notifiers.kafka.topic for notices', () => {
    const config = loadConfig({ env: { REKEY_KAFKA_TOPICPREFIX: 'eu.', REKEY_NOTIFIERS_KAFKA_TOPIC: 'notices' } });
    expect(kafkaTopicsOf(config).notifications).toBe('notices');
  });
});
