/* SPDX-License-Identifier: MIT */
/* Lists of senders; see sender_list.h. */
#include "common/sender_list.h"

#include "common/buf.h"
#include "common/limits.h"
#include "common/names.h"

#include <strings.h>

int sender_list_has(const char *list, const char *address)
{
        const char *at = strrchr(address, '@'), *domain = at ? at + 1 : "";
        int best = 0;

        while (*list) {
                size_t len = strcspn(list, ",");
                if (strlen(address) == len && strncasecmp(list, address, len) == 0)
                        return 2;
                if (len && strlen(domain) == len && strncasecmp(list, domain, len) == 0)
                        best = 1;
                list += len + (list[len] == ',');
        }
        return best;
}

/* One address or domain; NULL when it is neither. */
static char *item_normal(const char *item, struct cause *cause)
{
        const char *at = strrchr(item, '@');

        if (!at || at == item) {
                char *host = host_normal(at ? at + 1 : item, cause);
                if (host && host_is_address(host)) {
                        (void)cause_set(cause, CAUSE_INVALID, "%s is neither a mail address nor a domain",
                                        item);
                        free(take(host));
                }
                return host;
        }
        return address_check(item, false, cause) < 0 ? NULL : address_on_wire(item);
}

char *sender_list_normal(const char *text, struct cause *cause)
{
        scoped(buf_free) struct buf all = BUF_WITH_MAX(2 * LIMIT_PROPERTY_TEXT);
        bool full = false;

        while (*text) {
                text += strspn(text, " \t");
                size_t len = strcspn(text, ","), bare = len;
                while (bare && (text[bare - 1] == ' ' || text[bare - 1] == '\t'))
                        bare--;
                scoped(scoped_free) char *item = copy_bytes(text, bare);
                scoped(scoped_free) char *normal = bare ? item_normal(item, cause) : NULL;
                if (bare && !normal)
                        return NULL;
                scoped(scoped_free) char *so_far =
                        copy_bytes(all.len ? (const char *)buf_bytes(&all) : "", all.len);
                if (normal && sender_list_has(so_far, normal) < 2)
                        full |= buf_appendf(&all, "%s%s", all.len ? "," : "", normal) < 0;
                text += len + (text[len] == ',');
        }
        if (full) {
                (void)cause_set(cause, CAUSE_INVALID, "the list is longer than %d bytes",
                                LIMIT_PROPERTY_TEXT);
                return NULL;
        }
        return buf_take_text(&all);
}
