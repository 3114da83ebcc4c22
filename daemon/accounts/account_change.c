/* SPDX-License-Identifier: MIT */
/*
 * Changes of accounts: added, set, deleted. A change is computed when its turn comes, written, taken over
 * when it is on disk, and only then answered. One that is added is bound to its identity (store/owner.h),
 * then its file is written. One that is deleted is so by a single commit, owner_going(); what follows (file,
 * secrets, rows) is tried until it is done, at the next start if need be, and answered then. Changes of the
 * same account wait in a row; a lock, for what concerns several accounts, lets those before it end and holds
 * back those after it.
 */
#include "daemon/accounts/accounts_parts.h"

#include "common/json_fields.h"
#include "daemon/accounts/index.h"
#include "daemon/accounts/secrets.h"
#include "daemon/events.h"
#include "daemon/loop.h"
#include "daemon/manager.h"
#include "daemon/messages.h"
#include "daemon/store/queue_table.h"
#include "daemon/store/replace_file.h"

#include <stdio.h>

enum { AGAIN_MS = 1000 }; /* between tries to remove the files of a deleted account */

enum change_kind { CHANGE_ADD, CHANGE_SET, CHANGE_DELETE, CHANGE_LOCK };

struct change {
        enum change_kind kind;
        char *name;
        char *account_kind;            /* ADD */
        struct account *account;       /* SET, DELETE: while it is in the set */
        json_t *request;               /* ADD, SET */
        bool force;                    /* DELETE */
        bool resumed;                  /* DELETE: the daemon ended in the middle of it */
        struct property_values values; /* ADD, SET: what it will be */
        char id[OWNER_ID_SIZE];        /* ADD */
        bool held;                     /* DELETE: the account is out of the set and lives for the answer */
        bool secrets_next;             /* DELETE: its file is gone */
        bool answered;       /* DELETE: it has gone, and records of received mail are being removed */
        struct timer *again; /* DELETE */
        account_done done;   /* NULL: nobody asks */
        void (*begin)(void *ctx, const struct cause *ending); /* LOCK */
        void *ctx;
        struct change *next;   /* in its account's row, or in line */
        struct change *behind; /* those for the same name that wait for its end, while it is `moving` */
        struct change *next_moving;
};

/* On the loop's thread alone. Invariants: a name is of at most one of these: an account of the set, a change
 * in `moving`; a change is in exactly one list (line, its account's row, behind a moving one) or is being
 * worked on, and then counts in `under_way`. */
static struct change *line, **line_end = &line; /* wait for the lock, in order */
static bool locked;
static unsigned under_way;    /* changes begun, those in a row for their account included */
static struct change *moving; /* ADD, DELETE: their names are taken and have no account in the set */

static void start(struct change *change);

/* ---- the lock ---- */

/* An account that an apply leaves as it is may be set while the files of the others are written. Only the
 * first in line, so that the order stays. */
static bool may_start(const struct change *change)
{
        if (locked)
                return change->kind == CHANGE_SET && apply_leaves_alone(change->name);
        return change->kind != CHANGE_LOCK || !under_way;
}

/* Re-entered from start(), by a change that is over at once: `line` is taken apart before each call. */
static void let_in(void)
{
        while (line && may_start(line)) {
                struct change *change = line;
                line = change->next;
                if (!line)
                        line_end = &line;
                change->next = NULL;
                start(change);
        }
}

static void submit(struct change *change)
{
        *line_end = change;
        line_end = &change->next;
        let_in();
}

static void change_free(struct change *change)
{
        json_decref(change->request);
        properties_done(&change->values);
        timer_free(change->again);
        if (change->held)
                account_release(change->account);
        free(change->name);
        free(change->account_kind);
        free(change);
}

/* The last thing that is done with a change: the next ones may begin in here. */
static void change_over(struct change *change)
{
        change_free(change);
        under_way--;
        let_in();
}

void changes_lock(void (*begin)(void *ctx, const struct cause *ending), void *ctx)
{
        struct change *change = new_object(struct change);

        *change = (struct change){ .kind = CHANGE_LOCK, .begin = begin, .ctx = ctx };
        submit(change);
}

void changes_let_in(void)
{
        let_in();
}

void changes_unlock(void)
{
        locked = false;
        let_in();
}

/* ---- answers ---- */

/* `done` may ask for the next change: nothing of this one is touched in between but its own memory. */
static void refuse(struct change *change, const struct causes *problems)
{
        if (change->done)
                change->done(change->ctx, NULL, &(struct account_changed){ 0 }, problems);
        change_over(change);
}

static void refuse_one(struct change *change, const struct cause *cause)
{
        struct causes problems = { 0 };

        *causes_add(&problems) = *cause;
        refuse(change, &problems);
        causes_free(&problems);
}

static void answer(struct change *change, struct account *account, const struct account_changed *what)
{
        struct causes none = { 0 };

        if (change->done)
                change->done(change->ctx, account, what, &none);
        change_over(change);
}

static void tell(const char *name, enum event_kind event, const char *what)
{
        event_emit(event, name, NULL, "account %s was %s", name, what);
        manager_status_changed();
}

/* ---- names that are taken ---- */

static struct change *moving_of(const char *name)
{
        for (struct change *change = moving; change; change = change->next_moving)
                if (strcmp(change->name, name) == 0)
                        return change;
        return NULL;
}

bool account_name_taken(const char *name)
{
        return moving_of(name) || account_named(name);
}

static void move(struct change *change)
{
        change->next_moving = moving;
        moving = change;
}

static void append(struct change **at, struct change *change)
{
        while (*at)
                at = &(*at)->next;
        *at = change;
}

static void dispatch(struct change *change);

/* The name is free again, or an account's: those behind go on. Those behind are dispatched anew, in their
 * order: a deletion frees the name for an ADD, an ADD that failed leaves nothing to set. */
static void moved(struct change *change)
{
        struct change **at = &moving, *behind = take(change->behind);
        struct cause cause;

        while (*at && *at != change)
                at = &(*at)->next_moving;
        if (*at)
                *at = change->next_moving;
        while (behind) {
                struct change *next = behind->next;
                behind->next = NULL;
                if (behind->kind == CHANGE_ADD || account_named(behind->name)) {
                        dispatch(behind);
                } else {
                        (void)cause_set(&cause, CAUSE_NOT_FOUND, "account %s could not be added",
                                        behind->name);
                        refuse_one(behind, &cause);
                }
                behind = next;
        }
}

/* ---- set ---- */

/* The file is on disk by now. The generation goes up before anybody is told, so that what is under way by
 * the old values is known as that. */
void account_change_values(struct account *account, struct property_values *values)
{
        index_remove(account);
        properties_done(&account->values);
        account->values = *values;
        *values = (struct property_values){ .kind = account->values.kind };
        index_add(account);
        account->generation++;
        account_tell_changed(account);
        tell(account->name, EVENT_ACCOUNT_CHANGED, "changed");
}

static void begin_next(struct account *account);

/* A disk that failed leaves the values as they were, in memory and on disk: replace_file is atomic. */
static void set_written(void *ctx, const struct cause *cause)
{
        struct change *change = ctx;
        struct account *account = change->account;

        account->busy_writing = false;
        if (cause_happened(cause)) {
                refuse_one(change, cause);
        } else {
                json_t *differences = properties_differences(&account->values, &change->values);
                account_change_values(account, &change->values);
                answer(change, account, &(struct account_changed){ .differences = differences });
                json_decref(differences);
        }
        begin_next(account);
}

/* Computed now and not when it was asked for: changes before it in the row are in the values. */
static void begin_set(struct change *change)
{
        struct account *account = change->account;
        struct causes problems = { 0 };

        properties_copy(&change->values, &account->values);
        if (properties_take(&change->values, &account->values, change->request, &problems) < 0) {
                refuse(change, &problems);
        } else {
                scoped(scoped_free) char *path = account_file_path(account->name);
                scoped(scoped_free) char *text = account_file_text(&change->values, account->id);
                account->busy_writing = true;
                replace_file_later(path, text, strlen(text), set_written, change);
        }
        causes_free(&problems);
}

/* ---- delete ---- */

static void remove_files(struct change *change);

static void remove_again(void *ctx)
{
        remove_files(ctx);
}

/* Nothing of the account can be seen any more, though rows of received mail may still be under removal: this
 * is when the caller is answered. */
static void rows_unseen(void *ctx, const struct owner_rows *rows)
{
        struct change *change = ctx;
        struct subject subject = { .account = change->name };
        struct causes none = { 0 };

        change->answered = true;
        if (change->resumed)
                log_about(
                        &subject, LOG_NOTICE, MSG_ACCOUNT_CHANGED,
                        "account %s was being deleted when the daemon ended: what was left of it is removed",
                        change->name);
        tell(change->name, EVENT_ACCOUNT_DELETED, "deleted");
        if (rows->messages) { /* who waits for one of them looks, and finds it gone */
                json_t *data = json_object();
                json_put(data, "messages", json_integer((json_int_t)rows->messages));
                event_emit(EVENT_QUEUE_CHANGED, change->name, data,
                           "%llu messages were deleted with account %s", (unsigned long long)rows->messages,
                           change->name);
        }
        if (change->done)
                change->done(change->ctx, change->account,
                             &(struct account_changed){ .messages = rows->messages, .unsent = rows->unsent },
                             &none);
}

/* The name is free again: another account may take it, with an identity of its own, to which none of the old
 * rows is bound. */
static void rows_removed(void *ctx, const struct owner_rows *rows, const struct cause *cause)
{
        struct change *change = ctx;

        if (!cause && !change->answered)
                rows_unseen(change, rows);
        moved(change);
        if (cause && !change->answered) /* the store closes: the next start does the rest */
                refuse_one(change, cause);
        else
                change_over(change);
}

/* Its files are gone: now it is for everybody. In this order: out of the set, so that no name leads to it;
 * its name kept by `moving`; then those behind hear of it; the runners last, by whom the last hold on it is
 * let go. */
static void leave(struct change *change)
{
        struct account *account = account_hold(change->account); /* until the answer */

        change->held = true;
        account->busy_writing = false;
        accounts_take_out(account);
        move(change);
        secrets_forget(change->name);
        begin_next(account); /* those behind hear that it has gone */
        account_tell_removed(account);
}

/* Tried each second until the disk lets it: the deletion was decided by owner_going() and is never taken
 * back. Killed in here, the next start resumes it (account_deletion_resume). */
static void file_removed(void *ctx, const struct cause *cause)
{
        struct change *change = ctx;

        if (cause_happened(cause)) {
                if (!change->again)
                        change->again = timer_new(remove_again, change);
                timer_set(change->again, AGAIN_MS);
        } else if (!change->secrets_next) {
                change->secrets_next = true;
                remove_files(change);
        } else {
                if (change->account)
                        leave(change);
                owner_remove(change->name, rows_unseen, rows_removed, change);
        }
}

/* That of the account first: while a file is there, the account is shown whole. */
static void remove_files(struct change *change)
{
        scoped(scoped_free) char *path =
                change->secrets_next ? secrets_file_path(change->name) : account_file_path(change->name);

        replace_file_later(path, NULL, 0, file_removed, change);
}

/* From here on there is no way back. */
static void going(void *ctx, const struct cause *cause)
{
        struct change *change = ctx;
        struct account *account = change->account;

        if (!cause_happened(cause)) {
                remove_files(change);
                return;
        }
        account->busy_writing = false;
        refuse_one(change, cause);
        begin_next(account);
}

static uint64_t unsent(const char *name)
{
        struct queue_counts counts = queue_counts(name);
        uint64_t sum = 0;

        for (int state = 0; state < QUEUE_STATES; state++)
                sum += state == QUEUE_SENT ? 0 : counts.messages[state];
        return sum;
}

static void begin_delete(struct change *change)
{
        struct cause cause;
        uint64_t waiting = unsent(change->name);

        if (waiting && !change->force) {
                cause_set(&cause, CAUSE_STATE, "account %s has mail in its queue that is not sent: %llu",
                          change->name, (unsigned long long)waiting);
                cause_remedy(&cause,
                             "see them: emailsecctl queue list %s; then send them (emailsecctl account poll "
                             "%s), give them to another "
                             "account or delete them, or repeat with --force",
                             change->name, change->name);
                refuse_one(change, &cause);
                return;
        }
        change->account->busy_writing = true;
        owner_going(change->name, going, change);
}

/* At the start, before there is a set: no account, and nobody who asked. */
void account_deletion_resume(const char *name)
{
        struct change *change = new_object(struct change);

        *change = (struct change){ .kind = CHANGE_DELETE, .name = copy_text(name), .resumed = true };
        under_way++;
        move(change);
        remove_files(change);
}

/* ---- one after the other, for an account ---- */

/* `account` may have been deleted by the change before it in the row: a pointer that is compared and not
 * followed. */
static void begin(struct change *change)
{
        struct cause cause;

        if (account_named(change->name) != change->account) {
                cause_set(&cause, CAUSE_NOT_FOUND, "account %s has just been deleted", change->name);
                refuse_one(change, &cause);
        } else if (change->kind == CHANGE_DELETE) {
                begin_delete(change);
        } else if (change->account->unreadable) {
                cause = *change->account->cause;
                refuse_one(change, &cause);
        } else {
                begin_set(change);
        }
}

/* Runs waiting changes until one is being written. */
static void begin_next(struct account *account)
{
        while (!account->busy_writing && account->changes) {
                struct change *change = account->changes;
                account->changes = change->next;
                change->next = NULL;
                begin(change);
        }
}

static void push(struct change *change)
{
        append(&change->account->changes, change);
        begin_next(change->account);
}

/* ---- add ---- */

struct account *account_appear(struct property_values *values, const char *id)
{
        struct account *account = account_new(values);

        (void)snprintf(account->id, sizeof account->id, "%s", id);
        accounts_insert(account);
        secrets_new(account->name, id);
        owner_bind(account->name, id, OWNER_THERE);
        account_tell_added(account);
        tell(account->name, EVENT_ACCOUNT_ADDED, "added");
        return account;
}

static void not_added(void *ctx, const struct owner_rows *rows, const struct cause *cause)
{
        struct change *change = ctx;

        (void)rows;
        (void)cause; /* the store closes: the next start finds it without a file */
        moved(change);
        change_over(change);
}

static void add_written(void *ctx, const struct cause *cause)
{
        struct change *change = ctx;
        struct causes problems = { 0 };

        if (!cause_happened(cause)) {
                struct account *account = account_appear(&change->values, change->id);
                json_t *differences = properties_differences(NULL, &account->values);
                struct causes none = { 0 };
                change->done(change->ctx, account, &(struct account_changed){ .differences = differences },
                             &none);
                json_decref(differences);
                moved(change);
                change_over(change);
                return;
        }
        *causes_add(&problems) = *cause;
        change->done(change->ctx, NULL, &(struct account_changed){ 0 }, &problems);
        causes_free(&problems);
        owner_renew(change->name, NULL, true, not_added, change);
}

static void add_bound(void *ctx, const struct owner_rows *rows, const struct cause *cause)
{
        struct change *change = ctx;

        if (cause) {
                moved(change);
                refuse_one(change, cause);
                return;
        }
        accounts_tell_leftovers(change->name, rows);
        scoped(scoped_free) char *path = account_file_path(change->name);
        scoped(scoped_free) char *text = account_file_text(&change->values, change->id);
        replace_file_later(path, text, strlen(text), add_written, change);
}

static void begin_add(struct change *change)
{
        struct causes problems = { 0 };
        const char *name = change->name;

        account_values_of(&change->values, name, change->account_kind, change->request, &problems);
        if (!problems.count && account_name_taken(name)) {
                struct cause *cause = causes_add(&problems);
                cause_about(cause, CAUSE_EXISTS, "name", "there is already an account %s", name);
                cause_remedy(cause,
                             "choose another name, or change it: emailsecctl account set %s PROP=VALUE",
                             name);
        }
        if (!problems.count && accounts_count() >= LIMIT_ACCOUNTS)
                cause_about(causes_add(&problems), CAUSE_INVALID, "name", "there are %d accounts already",
                            LIMIT_ACCOUNTS);
        if (problems.count) {
                refuse(change, &problems);
        } else {
                owner_id_new(change->id);
                move(change);
                owner_renew(name, change->id, false, add_bound, change);
        }
        causes_free(&problems);
}

/* ---- asking ---- */

static void none_of_that_name(struct change *change)
{
        struct cause cause;

        (void)cause_missing(&cause, MISSING_ACCOUNT, "name", change->name);
        refuse_one(change, &cause);
}

static void dispatch(struct change *change)
{
        const char *name = change->name;
        struct change *before = moving_of(name);

        change->account = account_named(name);
        if (before && (before->kind == CHANGE_ADD || change->kind == CHANGE_ADD))
                append(&before->behind, change);
        else if (change->kind == CHANGE_ADD)
                begin_add(change);
        else if (change->account)
                push(change);
        else
                none_of_that_name(change);
}

static void start(struct change *change)
{
        if (change->kind != CHANGE_LOCK) {
                under_way++;
                dispatch(change);
                return;
        }
        locked = true;
        change->begin(change->ctx, NULL);
        change_free(change);
}

void accounts_set(const char *name, const json_t *properties_given, account_done done, void *ctx)
{
        struct change *change = new_object(struct change);

        *change = (struct change){ .kind = CHANGE_SET, .name = copy_text(name), .done = done, .ctx = ctx };
        change->request = json_deep_copy(properties_given);
        submit(change);
}

void accounts_delete(const char *name, bool force, account_done done, void *ctx)
{
        struct change *change = new_object(struct change);

        *change = (struct change){
                .kind = CHANGE_DELETE, .name = copy_text(name), .force = force, .done = done, .ctx = ctx
        };
        submit(change);
}

void accounts_add(const char *name, const char *kind, const json_t *properties_given, account_done done,
                  void *ctx)
{
        struct change *change = new_object(struct change);

        *change = (struct change){ .kind = CHANGE_ADD,
                                   .name = copy_text(name ? name : ""),
                                   .account_kind = copy_text(kind),
                                   .done = done,
                                   .ctx = ctx };
        change->request = json_deep_copy(properties_given);
        submit(change);
}

/* What waits for a timer has no answer from the store, and what waits in line none from anybody. */
void account_changes_close(void)
{
        struct cause ending;

        (void)cause_set(&ending, CAUSE_CANCELLED, "the daemon is ending");
        locked = true; /* nothing begins any more */
        apply_close();
        while (moving) {
                struct change *change = moving;
                while (change->behind) {
                        struct change *behind = change->behind;
                        change->behind = behind->next;
                        refuse_one(behind, &ending);
                }
                moving = change->next_moving;
                refuse_one(change, &ending);
        }
        while (line) {
                struct change *change = line;
                line = change->next;
                line_end = line ? line_end : &line; /* who is answered may ask for the next one */
                under_way++;                        /* which its end takes back */
                if (change->kind == CHANGE_LOCK)
                        change->begin(change->ctx, &ending);
                refuse_one(change, &ending);
        }
        locked = false;
}
