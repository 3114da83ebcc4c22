/* SPDX-License-Identifier: MIT */
/*
 * MESSAGE_IDs of the journal: one for each message a person or a program should be able to find. Each has an entry in
 * systemd/emailsecd.catalog; tests/habits holds the two against each other.
 */
#pragma once

#define MSG_STARTED          "5c9ad4d6c8f64b6f8a2f3d1e7b0c1a01"
#define MSG_ENDING           "5c9ad4d6c8f64b6f8a2f3d1e7b0c1a02"
#define MSG_RELOADED         "5c9ad4d6c8f64b6f8a2f3d1e7b0c1a03"
#define MSG_RELOAD_REFUSED   "5c9ad4d6c8f64b6f8a2f3d1e7b0c1a04"
#define MSG_CHALLENGE        "5c9ad4d6c8f64b6f8a2f3d1e7b0c1a10"
#define MSG_CERT_REGRESSION  "5c9ad4d6c8f64b6f8a2f3d1e7b0c1a11"
#define MSG_ALLOWED_DECIDED  "5c9ad4d6c8f64b6f8a2f3d1e7b0c1a12"
#define MSG_ALLOWED_NEEDLESS "5c9ad4d6c8f64b6f8a2f3d1e7b0c1a13"
#define MSG_ALLOWED_EXPIRED  "5c9ad4d6c8f64b6f8a2f3d1e7b0c1a14"
#define MSG_CHALLENGE_FLOOD  "5c9ad4d6c8f64b6f8a2f3d1e7b0c1a15"
#define MSG_TRUST_CHANGED    "5c9ad4d6c8f64b6f8a2f3d1e7b0c1a16"
#define MSG_TRUST_FAULT      "5c9ad4d6c8f64b6f8a2f3d1e7b0c1a17"
#define MSG_CERT_EXPIRES     "5c9ad4d6c8f64b6f8a2f3d1e7b0c1a18"
#define MSG_SIGNIN_WEAKER    "5c9ad4d6c8f64b6f8a2f3d1e7b0c1a19"
#define MSG_ACCOUNT_UP       "5c9ad4d6c8f64b6f8a2f3d1e7b0c1a20"
#define MSG_ACCOUNT_DOWN     "5c9ad4d6c8f64b6f8a2f3d1e7b0c1a21"
#define MSG_ACCOUNT_FAULT    "5c9ad4d6c8f64b6f8a2f3d1e7b0c1a22"
#define MSG_ACCOUNT_CHANGED  "5c9ad4d6c8f64b6f8a2f3d1e7b0c1a23"
#define MSG_ACCOUNT_UNREADABLE "5c9ad4d6c8f64b6f8a2f3d1e7b0c1a24"
#define MSG_QUEUED           "5c9ad4d6c8f64b6f8a2f3d1e7b0c1a30"
#define MSG_SENT             "5c9ad4d6c8f64b6f8a2f3d1e7b0c1a31"
#define MSG_DEFERRED         "5c9ad4d6c8f64b6f8a2f3d1e7b0c1a32"
#define MSG_FAILED           "5c9ad4d6c8f64b6f8a2f3d1e7b0c1a33"
#define MSG_AMBIGUOUS        "5c9ad4d6c8f64b6f8a2f3d1e7b0c1a34"
#define MSG_QUEUE_DAMAGED    "5c9ad4d6c8f64b6f8a2f3d1e7b0c1a35"
#define MSG_RECEIVED         "5c9ad4d6c8f64b6f8a2f3d1e7b0c1a40"
#define MSG_LEFT_AT_SERVER   "5c9ad4d6c8f64b6f8a2f3d1e7b0c1a41"
#define MSG_UIDVALIDITY      "5c9ad4d6c8f64b6f8a2f3d1e7b0c1a42"
#define MSG_HANDED_BACK      "5c9ad4d6c8f64b6f8a2f3d1e7b0c1a45"
#define MSG_SUBSCRIBER_MISSED "5c9ad4d6c8f64b6f8a2f3d1e7b0c1a44"
#define MSG_DISK_FAULT       "5c9ad4d6c8f64b6f8a2f3d1e7b0c1a50"
#define MSG_DISK_WELL        "5c9ad4d6c8f64b6f8a2f3d1e7b0c1a51"
