/* SPDX-License-Identifier: MIT */
/*
 * Devices: who may submit by SMTP with a name and a password, from the network and inside TLS (smtpd/). Each
 * is a file devices/NAME.json (mode 0600), on disk before it is answered. Of the password keys are kept
 * (sasl/scram_server.h), never itself.
 */
#pragma once

#include "daemon/sasl/scram_server.h"

#include <jansson.h>
#include <time.h>

struct device {
        char *name;
        char *account; /* its mail goes out by this one; NULL: as that of others */
        char *from;    /* the only sender that it may name; NULL: any */
        bool has_keys; /* a password was set */
        struct scram_keys keys;
        time_t added, signed_in; /* the latter since the start; 0: not yet */
        char *added_by;
        char *unreadable; /* why its file cannot be read: it cannot sign in; or NULL */
        struct device *next;
};

/* Reads the files. May block (start). */
void devices_open(const char *state_directory);
void devices_close(void);
const struct device *device_named(const char *name);
const struct device *devices_first(void); /* in order of name, by ->next */
bool devices_any(void);
void device_signed_in(const char *name);

/* {name, account, from, password, added, addedBy, signedIn, fault} */
json_t *device_json(const struct device *device) must_use;

/* `done` on the loop, or before the return when refused; the device is NULL when it was deleted. */
typedef void (*device_done)(void *ctx, const struct device *device, const struct cause *cause);
void device_add(const char *name, const char *account, const char *from, const char *by, device_done done,
                void *ctx);
void device_password(const char *name, const char *password, device_done done, void *ctx);
void device_delete(const char *name, device_done done, void *ctx);
