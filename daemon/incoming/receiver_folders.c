/* SPDX-License-Identifier: MIT */
/*
 * The folders of a session: names, and those that fit patterns (* and %, as LIST has them), asked for once a
 * session. And which of them the server does not open while the session stands: each is told once, when it
 * begins and when it ends.
 */
#include "daemon/incoming/receiver_state.h"

#include "common/json_fields.h"
#include "common/limits.h"
#include "common/names.h"
#include "daemon/accounts/secrets.h"
#include "daemon/events.h"
#include "daemon/messages.h"

enum { SHOWN_MOST = 5 };

/* ---- which there are ---- */

void receiver_take_folders(struct receiver *receiver, char *names)
{
        free(receiver->folders);
        receiver->folders = names;
        receiver->folders_end = names + strlen(names);
        for (char *at = names; at < receiver->folders_end; at++)
                if (*at == ',')
                        *at = '\0';
        receiver->folder = names;
}

static bool is_pattern(const char *name)
{
        return strpbrk(name, "*%") != NULL;
}

static void add_name(struct receiver *receiver, const char *name)
{
        char *before = receiver->names;

        receiver->names = text_of("%s,%s", before ? before : "", name);
        free(before);
}

static void all_found(struct receiver *receiver)
{
        size_t count;
        scoped(scoped_free) char *found = take(receiver->names);
        /* IDLE is on the first: where that is left to the server, on INBOX if it is among them */
        bool inbox = is_pattern(receiver->folders) && found && names_have(found, "INBOX");
        scoped(scoped_free) char *ordered = text_of("%s%s", inbox ? "INBOX," : "", found ? found : "");
        char *names = folder_names_normal(ordered, &count);
        struct cause cause;

        if (count && count <= LIMIT_FOLDERS) {
                receiver_take_folders(receiver, names);
                receiver_begin_poll(receiver);
                return;
        }
        free(names);
        cause_set(&cause, CAUSE_MAILBOX,
                  count ? "more than %d folders fit the property folder"
                        : "of the server's folders none fits the property folder",
                  LIMIT_FOLDERS);
        cause_remedy(&cause, "see which folders there are: emailsecctl account folders NAME");
        receiver_failed(receiver, &cause, "");
}

/* Goes on in the property up to the next pattern; true when there is one. */
static bool ask_next(struct receiver *receiver)
{
        const char *all = prop_text(&receiver->runner.account->values, PROP_FOLDER);

        while (all[receiver->pattern]) {
                size_t len = strcspn(all + receiver->pattern, ",");
                scoped(scoped_free) char *name = copy_bytes(all + receiver->pattern, len);
                receiver->pattern += len + (all[receiver->pattern + len] == ',');
                if (is_pattern(name)) {
                        receiver_ops(receiver)->folders(session_engine(receiver->session), name);
                        return true;
                }
                add_name(receiver, name);
        }
        return false;
}

bool receiver_ask_folders(struct receiver *receiver)
{
        receiver->pattern = 0;
        free(take(receiver->names));
        return receiver_ops(receiver)->folders &&
               is_pattern(prop_text(&receiver->runner.account->values, PROP_FOLDER)) && ask_next(receiver);
}

void receiver_folder_found(void *ctx, const char *name, bool selectable)
{
        struct receiver *receiver = container_of((struct fetching **)ctx, struct receiver, fetching);

        /* one with a comma cannot be told apart from two; the bound is looked at in the end */
        if (selectable && !strchr(name, ',') &&
            (!receiver->names || strlen(receiver->names) < 2 * LIMIT_FOLDERS_TEXT))
                add_name(receiver, name);
}

void receiver_folders_found(void *ctx)
{
        struct receiver *receiver = container_of((struct fetching **)ctx, struct receiver, fetching);

        if (!ask_next(receiver))
                all_found(receiver);
}

/* ---- which can be opened ---- */

static struct refused_folder **place_of(struct receiver *receiver, const char *name)
{
        struct refused_folder **at = &receiver->refused;

        while (*at && !same_text((*at)->name, name))
                at = &(*at)->next;
        return at;
}

static void tell(const struct receiver *receiver, const struct cause *cause)
{
        const char *account = receiver->runner.account->name, *folder = receiver->folder;
        struct subject subject = account_subject(receiver->runner.account);
        json_t *data = json_object();

        subject.cause = cause;
        json_put_text(data, "folder", folder);
        json_put(data, "cause", cause_json(cause));
        if (cause)
                log_about(&subject, LOG_WARNING, MSG_FOLDER_REFUSED, "%s: folder %s cannot be opened: %s",
                          account, folder, cause->text);
        else
                log_about(&subject, LOG_NOTICE, MSG_FOLDER_REFUSED, "%s: folder %s can be opened again",
                          account, folder);
        event_emit(EVENT_ACCOUNT_FOLDER, account, data, "%s: folder %s %s", account, folder,
                   cause ? "cannot be opened" : "can be opened again");
}

void receiver_folder_refused(struct receiver *receiver, const struct cause *cause)
{
        struct refused_folder **at = place_of(receiver, receiver->folder);
        bool news = !*at;
        struct cause why = *cause;

        cause_of_account(&why, receiver->runner.account->name);
        if (news) {
                *at = new_object(struct refused_folder);
                (*at)->name = copy_text(receiver->folder);
        }
        (*at)->why = why;
        if (news)
                tell(receiver, &why);
}

void receiver_folder_opened(struct receiver *receiver)
{
        struct refused_folder **at = place_of(receiver, receiver->folder), *gone = *at;

        if (!gone)
                return;
        *at = gone->next;
        free(gone->name);
        free(gone);
        tell(receiver, NULL);
}

void receiver_forget_folders(struct receiver *receiver)
{
        while (receiver->refused) {
                struct refused_folder *gone = receiver->refused;
                receiver->refused = gone->next;
                free(gone->name);
                free(gone);
        }
}

void receiver_warnings(const struct receiver *receiver, json_t *warnings)
{
        size_t count = 0;

        receiver_waits_warning(receiver, warnings);
        for (const struct refused_folder *one = receiver->refused; one; one = one->next) {
                if (++count > SHOWN_MOST)
                        continue;
                scoped(scoped_free) char *text = text_of("folder %s: %s (to do: %s)", one->name,
                                                         one->why.text, cause_remedy_of(&one->why));
                (void)json_array_append_new(warnings, json_string(text));
        }
        if (count > SHOWN_MOST) {
                scoped(scoped_free) char *more =
                        text_of("%zu more folders cannot be opened", count - SHOWN_MOST);
                (void)json_array_append_new(warnings, json_string(more));
        }
}
