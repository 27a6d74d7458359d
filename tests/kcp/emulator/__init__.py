"""A strict emulator of kcp v0.32 with a scripted Platform Mesh on top, for tests.

Public surface (README.md has examples):

* ``kcp.Kcp``: ``async with Kcp(folder=…, shards=("root", "shard-1")) as kcp``. ``url`` (the front proxy),
  ``shard_url(name)``, ``admin_token``, ``ca_text``; ``api`` (``acts.Acts``: create, get, find, edit, delete as admin);
  ``settled()``; ``faults`` (``faults.Faults``), ``delays``, ``quirks`` (``world``), ``tokens.rotate(user)``;
  ``compact``, ``restart``, ``back_up``, ``move``, ``forget``, ``reset_connections``, ``silence``, ``end_watches``,
  ``seen``. With ``manual=True`` controllers wait for ``pass_time(seconds)``.
* ``platform_mesh.PlatformMesh``: ``install``, ``offer``, ``create_org``, ``create_account``, ``create_accounts``,
  ``delete_account``, ``delete_accounts``, ``forge_info``. ``manifests`` makes what is sent: schemas, exports, bindings,
  workspaces and their types.
* ``people``: ``provider`` (a service account with rights on an export), ``user``, ``kubeconfig``, ``exec_user``.
* ``running.thread(…)`` and ``running.process(folder, …)``: the same for tests without a loop, and to be killed.
* ``control.Control``: what a process can be told over HTTP; ``KcpProcess.call(name, …)``.
"""
