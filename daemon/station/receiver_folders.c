/* SPDX-License-Identifier: MIT */
/* Folders that the server does not open while the session stands: each is told once, when it begins and when it ends. */
#include "daemon/station/receiver_state.h"

#include "common/json_fields.h"
#include "daemon/messages.h"
#include "daemon/station/events.h"

enum { SHOWN_MOST = 5 };

static struct refused_folder **place_of(struct receiver *receiver, const char *name)
{
        struct refused_folder **at = &receiver->refused;

        while (*at && !same_text((*at)->name, name))
                at = &(*at)->next;
        return at;
}

static void tell(const struct receiver *receiver, const struct cause *cause)
{
        const char *account = receiver->account->name, *folder = receiver->folder;
        struct subject subject = account_subject(receiver->account);
        json_t *data = json_object();

        subject.cause = cause;
        json_put_text(data, "folder", folder);
        json_put(data, "cause", cause_json(cause));
        if (cause)
                log_about(&subject, LOG_WARNING, MSG_FOLDER_REFUSED, "%s: folder %s cannot be opened: %s", account, folder,
                          cause->text);
        else
                log_about(&subject, LOG_NOTICE, MSG_FOLDER_REFUSED, "%s: folder %s can be opened again", account, folder);
        event_emit("account.folder", account, data, "%s: folder %s %s", account, folder,
                   cause ? "cannot be opened" : "can be opened again");
}

void receiver_folder_refused(struct receiver *receiver, const struct cause *cause)
{
        struct refused_folder **at = place_of(receiver, receiver->folder);
        bool news = !*at;
        struct cause why = *cause;

        cause_for_account(&why, receiver->account->name);
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
                scoped(scoped_free) char *text = text_of("folder %s: %s (to do: %s)", one->name, one->why.text,
                                                         cause_remedy_of(&one->why));
                (void)json_array_append_new(warnings, json_string(text));
        }
        if (count > SHOWN_MOST) {
                scoped(scoped_free) char *more = text_of("%zu more folders cannot be opened", count - SHOWN_MOST);
                (void)json_array_append_new(warnings, json_string(more));
        }
}
