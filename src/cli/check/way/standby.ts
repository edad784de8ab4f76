import { type Finding, note } from '../finding.js';

/** That a port is on standby for another vif of the same card. @param check the part of the way that it is on */
export const aboutStandby = (check: string, port: string): Finding =>
  note(
    check,
    `${port} is sent nothing: the other vif of the same guest, of an emulated card or of its PV driver, has the traffic now`,
    'nothing, while the guest uses that one: it comes here when this frontend connects last',
  );
