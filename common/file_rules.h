/* SPDX-License-Identifier: MIT */
/*
 * The property fileInto: which folder of the Maildir a received message goes into. Rules parted by
 * semicolons, of three words each: what is looked at (sender, subject, header), a text, a folder. The first
 * rule whose text is in the field, large and small letters alike, decides. A word with blanks or semicolons
 * stands in quotation marks. Pure.
 *
 *      sender alarms@plant.example Alarms; subject "pump 7" Pumps/Seven; header X-Priority:1 Urgent
 */
#pragma once

#include "common/cause.h"

#define LIMIT_FILE_RULES 100
#define FILE_FOLDER_SIZE 72 /* of a folder's name on disk */

struct file_rule {
        char *field; /* "From", "Subject", or that of header */
        char *text;
        char folder[FILE_FOLDER_SIZE]; /* on disk: ".Pumps.Seven" (Maildir++); "": the Maildir itself */
};
struct file_rules {
        struct file_rule *rules;
        size_t count;
};
/* -1 with a cause that names the rule. */
int file_rules_parse(const char *text, struct file_rules *out, struct cause *cause) must_use;
void file_rules_done(struct file_rules *rules);

/* The folder on disk of a message that begins with these bytes. Fields are taken as they stand there,
 * unfolded. */
const char *file_rules_folder(const struct file_rules *rules, const char *head, size_t len);
/* The name of a folder as people write it: "Pumps/Seven"; "" for the Maildir itself. The caller frees. */
char *file_folder_name(const char *folder) must_use;
