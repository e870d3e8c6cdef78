"""Dovecot's configuration file; version 2.4 (Debian 13) reads another language than 2.3 (Debian 12)."""

from __future__ import annotations

import grp
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.servers.dovecot import DovecotServer

BOTH = """\
protocols = imap pop3
listen = 127.0.0.1
instance_name = mailroom-tests
base_dir = {home}/run
log_path = {home}/dovecot.log
default_login_user = {user}
default_internal_user = {user}
default_internal_group = {group}
auth_mechanisms = plain login xoauth2
auth_failure_delay = 0
mail_fsync = never
mail_max_userip_connections = 200
ssl = yes
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
    ssl = yes
  }}
}}
# A wrong password costs the next login no penalty: all tests come from one address.
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"""

ONLY_2_3 = """\
state_dir = {home}/state
disable_plaintext_auth = no
ssl_cert = <{certificate}
ssl_key = <{key}
mail_location = maildir:~
first_valid_uid = 1
passdb {{
  driver = passwd-file
  mechanisms = plain login
  args = username_format=%u {home}/users/%u
}}
passdb {{
  driver = oauth2
  mechanisms = xoauth2
  args = {home}/oauth2.conf.ext
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={home}/mail/%u
}}
service stats {{
  chroot =
}}
"""

ONLY_2_4 = """\
state_dir = {home}/state
auth_allow_cleartext = yes
ssl_server_cert_file = {certificate}
ssl_server_key_file = {key}
mail_driver = maildir
mail_path = ~
mail_uid = {uid}
mail_gid = {gid}
mail_home = {home}/mail/%{{user}}
first_valid_uid = 1
passdb passwd-file {{
  passwd_file_path = {home}/users/%{{user}}
  auth_username_format = %{{user}}
  mechanisms_filter = plain login
}}
oauth2 {{
  introspection_mode = local
  username_attribute = sub
  oauth2_local_validation {{
    dict fs {{
      fs posix {{
        prefix = {keys}/
      }}
    }}
  }}
}}
passdb oauth2 {{
  mechanisms_filter = xoauth2
}}
userdb static {{
  fields {{
    uid = {uid}
    gid = {gid}
    home = {home}/mail/%{{user}}
  }}
}}
service stats {{
  chroot =
}}
"""

OAUTH2_2_3 = """\
introspection_mode = local
local_validation_key_dict = fs:posix:prefix={keys}/
username_attribute = sub
"""


def configuration(server: DovecotServer, version: str) -> str:
    """The whole file for this server and this version of Dovecot ("2.3.19.1 (9b53102964)", "2.4.1-4 (…)")."""
    major, minor, patch = re.findall(r"\d+", version)[:3]
    if (int(major), int(minor)) >= (2, 4):
        number = f"{major}.{minor}.{patch}"
        first = f"dovecot_config_version = {number}\ndovecot_storage_version = {number}\n"
        text = BOTH + ONLY_2_4
    else:
        first, text = "", BOTH + ONLY_2_3
        (server.directory / "oauth2.conf.ext").write_text(OAUTH2_2_3.format(keys=server.token_keys))
    return first + text.format(
        home=server.directory,
        keys=server.token_keys,
        user=server.owner.pw_name,
        group=grp.getgrgid(server.owner.pw_gid).gr_name,
        uid=server.owner.pw_uid,
        gid=server.owner.pw_gid,
        certificate=server.certificates.certificate_file,
        key=server.certificates.key_file,
        imap=server.imap_port,
        imaps=server.imaps_port,
        pop3=server.pop3_port,
        pop3s=server.pop3s_port,
    )
