/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "genl.h"

#include <linux/genetlink.h>

#include "alloc-util.h"

typedef struct FamilyCall {
        genl_family_callback_t callback;
        void *userdata;
        uint16_t family;
} FamilyCall;

static const NetlinkPolicy ctrl_policy[CTRL_ATTR_MAX + 1] = {
        [CTRL_ATTR_FAMILY_ID] = { .type = MNL_TYPE_U16 },
};

static int on_family(Netlink *nl, const struct nlmsghdr *message, void *userdata)
{
        FamilyCall *call = userdata;
        const struct nlattr *table[CTRL_ATTR_MAX + 1];
        int r;

        if (mnl_nlmsg_get_payload_len(message) < GENL_HDRLEN)
                return -EBADMSG;
        r = netlink_parse_attributes(mnl_nlmsg_get_payload_offset(message, GENL_HDRLEN),
                                     mnl_nlmsg_get_payload_len(message) - GENL_HDRLEN, ctrl_policy,
                                     CTRL_ATTR_MAX, table);
        if (r < 0)
                return r;
        if (!table[CTRL_ATTR_FAMILY_ID])
                return -EBADMSG;
        call->family = mnl_attr_get_u16(table[CTRL_ATTR_FAMILY_ID]);
        return 0;
}

static void on_family_done(Netlink *nl, int error, void *userdata)
{
        FamilyCall *call = userdata;

        if (error >= 0 && call->family == 0)
                error = -EBADMSG;
        call->callback(error, call->family, call->userdata);
}

int genl_resolve_family(Netlink *nl, const char *name, genl_family_callback_t callback, void *userdata,
                        NetlinkSlot **ret_slot)
{
        uint8_t buf[256] __attribute__((aligned(NLMSG_ALIGNTO)));
        struct nlmsghdr *message;
        FamilyCall *call;
        NetlinkSlot *slot;
        int r;

        if (strlen(name) >= GENL_NAMSIZ)
                return -EINVAL;
        message = genl_start_message(buf, GENL_ID_CTRL, /* flags= */ 0, CTRL_CMD_GETFAMILY,
                                     /* version= */ 1);
        mnl_attr_put_strz(message, CTRL_ATTR_FAMILY_NAME, name);
        call = new (FamilyCall, 1);
        if (!call)
                return -ENOMEM;
        *call = (FamilyCall) { .callback = callback, .userdata = userdata };
        r = netlink_call(nl, message, on_family, on_family_done, call, &slot);
        if (r < 0) {
                free(call);
                return r;
        }
        netlink_slot_set_destroy(slot, free);
        if (ret_slot)
                *ret_slot = slot;
        return 0;
}

struct nlmsghdr *genl_start_message(void *buf, uint16_t family, uint16_t flags, uint8_t command,
                                    uint8_t version)
{
        struct nlmsghdr *message = mnl_nlmsg_put_header(buf);
        struct genlmsghdr *genl;

        message->nlmsg_type = family;
        message->nlmsg_flags = flags;
        genl = mnl_nlmsg_put_extra_header(message, sizeof(*genl));
        genl->cmd = command;
        genl->version = version;
        return message;
}
