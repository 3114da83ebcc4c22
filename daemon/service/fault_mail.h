/* SPDX-License-Identifier: MIT */
/*
 * NotifyFaults=: faults and challenges of accounts, and heartbeats that are missing, are told by mail through
 * another account that works, and when they are over, too. What happens within some minutes goes in one mail;
 * a cause of an account is told once a day at most, and there is a most of mails a day. The account that is
 * told of never carries the mail, and that one cannot be sent makes no other: it is in the journal.
 */
#pragma once

void fault_mail_open(void); /* after the accounts */
void fault_mail_close(void);
/* Settings were read: accounts that are in fault now are told of, unless they have been. */
void fault_mail_look(void);
