/* SPDX-License-Identifier: MIT */
/*
 * Somebody who comes by all through a history and reads what the station says of itself. Judged is what must
 * hold at any moment, however bad the time: no account is `ok` on an old word, every wait has a reason and an
 * end.
 */
#pragma once

void inspector_open(void); /* while the world is built; adds its invariants */
