/* SPDX-License-Identifier: MIT */
/* What the file of a device holds: devices.c writes and reads it, nobody else. */
#pragma once

#include "daemon/accounts/devices.h"

/* The text of the file; the caller wipes and frees it. */
char *device_file_text(const struct device *device) must_use;
/* Fills in what the file says of the device, whose name is known. False: it is no device's file. */
bool device_from_file(struct device *device, const json_t *object) must_use;
