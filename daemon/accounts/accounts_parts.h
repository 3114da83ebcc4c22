/* SPDX-License-Identifier: MIT */
/* The inside of the set of accounts: accounts.c keeps and loads it, account_file.c knows the files,
 * account_change.c changes it, apply.c changes several at once. */
#pragma once

#include "daemon/accounts/accounts.h"
#include "daemon/store/owner.h"

/* ---- account_file.c ---- */

/* accounts/NAME.json, secrets/NAME; the caller frees. */
char *account_file_path(const char *name) must_use;
/* Of the former: its folder, and the rest. */
char *account_files_folder(void) must_use;
char *account_file_name(const char *name) must_use;
/* What stands in the file; the caller frees. */
char *account_file_text(const struct property_values *values, const char *id) must_use;
/* Fills in name, kind and the properties of a new account or a file, or adds to the problems: `values` are to
 * be freed all the same. */
void account_values_of(struct property_values *values, const char *name, const char *kind,
                       const json_t *request, struct causes *problems);
/* Blocks. `id`: "" where the file has none. -1 with a cause; nothing is to be freed then. */
int account_file_read(const char *path, const char *name, struct property_values *values,
                      char id[OWNER_ID_SIZE], struct cause *cause) must_use;

/* ---- accounts.c ---- */

void accounts_insert(struct account *account);
void accounts_take_out(struct account *account);
/* The journal's line about rows that were found under a name and removed; none for none. */
void accounts_tell_leftovers(const char *name, const struct owner_rows *rows);

/* ---- account_change.c ---- */

/* Whether the name is taken: by an account, or one that comes or goes. */
bool account_name_taken(const char *name);
/* The rest of a deletion that was cut off after it had been decided; answers nobody. */
void account_deletion_resume(const char *name);
/* Ends what is still under way, when the store has closed. */
void account_changes_close(void);

/* Waits until no other change is under way, then calls `begin`; no other one begins until changes_unlock().
 * `ending`, else NULL: the daemon ends before that, and there is no lock. */
void changes_lock(void (*begin)(void *ctx, const struct cause *ending), void *ctx);
void changes_unlock(void);
/* While there is the lock: what apply_leaves_alone() says is another now. */
void changes_let_in(void);
/* Parts of the changes, for apply.c: the account takes the values over, or is made of them, and all are told.
 */
void account_change_values(struct account *account, struct property_values *values);
struct account *account_appear(struct property_values *values, const char *id);

/* ---- apply.c ---- */

/* Before the files are read: what was decided and not yet written to all of them is written. Blocks. */
int apply_recover(struct cause *cause) must_use;
/* One is under way, knows what it changes, and does not change this account. */
bool apply_leaves_alone(const char *name);
/* Ends one that waits for the disk, when the store has closed. */
void apply_close(void);
