import { runService } from '@rekey/composition';

void runService('projector', process.argv.slice(2));
