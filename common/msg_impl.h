/* msg_impl - the words of the protocol, in the order of their enums, for msg.c and
 * msg_decode.c. */
#ifndef COMMON_MSG_IMPL_H
#define COMMON_MSG_IMPL_H

#include "common/msg.h"

/* in hello.features */
#define MSG_FEATURE_SHARES "shares"
#define MSG_FEATURE_COMMANDS "commands"
#define MSG_FEATURE_SPANS "spans"
#define MSG_FEATURE_SWAPS "swapped"

#define MSG_ROLES (ROLE_CONTROL + 1)
#define MSG_STATES (INSTANCE_STOPPING + 1)
#define MSG_HEALTHS (INSTANCE_REFUSES + 1)
#define MSG_ACTIONS (RULE_ANSWER + 1)

extern const char *const msg_role_words[MSG_ROLES];
extern const char *const msg_state_words[MSG_STATES];
extern const char *const msg_health_words[MSG_HEALTHS];
extern const char *const msg_action_words[MSG_ACTIONS];

#endif
