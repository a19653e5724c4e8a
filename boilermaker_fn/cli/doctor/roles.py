"""Which role is missing, and how is it given?"""

from __future__ import annotations

from typing import Final, NamedTuple


class Role(NamedTuple):
    """A built-in role of Azure, and what it is needed for."""

    name: str
    purpose: str


OWNER: Final = Role(
    "Azure Service Bus Data Owner", "to run tasks; to publish only, Azure Service Bus Data Sender will do"
)
TABLES: Final = Role("Storage Table Data Contributor", "to keep results")


def how_to_give(role: Role, scope: str, principal: str | None) -> str:
    """The command that gives `role` on `scope`, itself an expression of the shell."""
    assignee = f"--assignee-object-id {principal}" if principal else "--assignee <who runs this>"
    command = f'az role assignment create {assignee} --role "{role.name}" --scope {scope}'
    return f"give {role.name} ({role.purpose}; it takes some minutes to work): {command}"


def queue_scope(namespace: str, queue: str) -> str:
    """The id of a queue, for the shell."""
    return (
        f"$(az servicebus queue show --resource-group <group> --namespace-name {namespace.partition('.')[0]} "
        f"--name {queue} --query id --output tsv)"
    )


def account_scope(account: str) -> str:
    """The id of a storage account, for the shell."""
    return f"$(az storage account show --name {account} --query id --output tsv)"
