"""Organisations, their people, tokens, accounts and evidence over HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from haihe.client.http import Record
from haihe.client.subjects import Subject, part, record


class Organisations(Subject):
    """The directory, members and invitations."""

    def list(self, *, text: str = "", kind: str = "") -> Iterator[Record]:
        """The directory, optionally narrowed."""
        return self.http.pages("/organisations", text=text, kind=kind)

    def get(self, slug: str) -> Record:
        """An organisation's public card."""
        return record(self.http.get(f"/organisations/{part(slug)}"))

    def create(self, *, slug: str, name: str, kind: str, credit_code: str, **more: str) -> Record:
        """Register an organisation; the token's person becomes its first owner."""
        body = {"slug": slug, "name": name, "kind": kind, "credit_code": credit_code, **more}
        return record(self.http.post("/organisations", body))

    def update(self, slug: str, *, name: str, name_en: str = "", etag: str | None = None) -> Record:
        """Change its names; with ``etag`` only if nobody changed it since it was read."""
        body = {"name": name, "name_en": name_en}
        return record(self.http.put(f"/organisations/{part(slug)}", body, etag=etag))

    def verify(self, slug: str) -> Record:
        """Confirm its credit code, as the platform's operator."""
        return record(self.http.post(f"/organisations/{part(slug)}/verify"))

    def members(self, slug: str) -> Sequence[Record]:
        """Who belongs to an organisation."""
        return [*self.http.get(f"/organisations/{part(slug)}/members")]

    def member(self, slug: str, person_id: str) -> Record:
        """One member, with the ETag for an edit."""
        return record(self.http.get(f"/organisations/{part(slug)}/members/{part(person_id)}"))

    def change_role(
        self,
        slug: str,
        person_id: str,
        *,
        role: str,
        duties: Sequence[str] | None = None,
        etag: str | None = None,
    ) -> Record:
        """Give a member another role; duties in packs stay as they are if not given."""
        body = {"role": role, "duties": None if duties is None else [*duties]}
        path = f"/organisations/{part(slug)}/members/{part(person_id)}"
        return record(self.http.put(path, body, etag=etag))

    def remove_member(self, slug: str, person_id: str) -> None:
        """Take a member out of an organisation."""
        self.http.delete(f"/organisations/{part(slug)}/members/{part(person_id)}")

    def invitations(self, slug: str) -> Sequence[Record]:
        """Invitations that may still be accepted."""
        return [*self.http.get(f"/organisations/{part(slug)}/invitations")]

    def invite(self, slug: str, *, role: str, email: str = "") -> Record:
        """Make an invitation; its secret is in the answer only."""
        body = {"role": role, "email": email}
        return record(self.http.post(f"/organisations/{part(slug)}/invitations", body))

    def withdraw_invitation(self, slug: str, invitation_id: str) -> None:
        """Withdraw an invitation."""
        self.http.delete(f"/organisations/{part(slug)}/invitations/{part(invitation_id)}")

    def accept_invitation(self, secret: str) -> Record:
        """Become a member by the secret of an invitation's link."""
        return record(self.http.post("/invitations/accept", {"secret": secret}))


class Tokens(Subject):
    """One's own API tokens."""

    def list(self) -> Sequence[Record]:
        """All of them, without their secrets."""
        return [*self.http.get("/tokens")]

    def create(self, *, name: str, scopes: Sequence[str], days: int = 90) -> Record:
        """Make one; its secret is in the answer only."""
        return record(self.http.post("/tokens", {"name": name, "scopes": [*scopes], "days": days}))

    def revoke(self, token_id: str) -> None:
        """Make it open nothing."""
        self.http.delete(f"/tokens/{part(token_id)}")


class Accounts(Subject):
    """Balances and statements."""

    def list(self, *, owner: str | None = None) -> Iterator[Record]:
        """An organisation's accounts, or all that the caller may read."""
        return self.http.pages("/accounts", owner=owner)

    def statement(self, account_id: str, *, as_of: str | None = None) -> Record:
        """The balance as of a time, and the newest page of transfers."""
        return record(self.http.get(f"/accounts/{part(account_id)}/statement", as_of=as_of))

    def transfers(self, account_id: str, *, as_of: str | None = None) -> Iterator[Record]:
        """The whole statement, the newest transfer first."""
        return self.http.pages(f"/accounts/{part(account_id)}/statement", as_of=as_of)

    def deposit(
        self,
        account_id: str,
        *,
        amount_micro: int,
        reference: str,
        transfer_id: str | None = None,
    ) -> Record:
        """Record money from outside; with ``transfer_id`` it happens once for ever."""
        body = {
            "amount_micro": amount_micro,
            "reference": reference,
            "transfer_id": transfer_id,
        }
        return record(self.http.post(f"/accounts/{part(account_id)}/deposits", body))

    def audit(self) -> Record:
        """Check all books."""
        return record(self.http.get("/ledger/audit"))


class Evidence(Subject):
    """The log, its heads and proofs."""

    def head(self) -> Record | None:
        """The newest signed checkpoint."""
        head: Record | None = self.http.get("/evidence/head")
        return head

    def checkpoints(self) -> Iterator[Record]:
        """All signed checkpoints, the newest first."""
        return self.http.pages("/evidence/checkpoints")

    def keys(self) -> Sequence[Record]:
        """The keys that sign or signed checkpoints."""
        return [*self.http.get("/evidence/keys")]

    def rotate_key(self) -> Record:
        """Sign with a new key from now on, as the platform's operator."""
        return record(self.http.post("/evidence/keys/rotate"))

    def list(self, *, kind: str | None = None, subject: str | None = None) -> Iterator[Record]:
        """The entries that the caller may read."""
        return self.http.pages("/evidence/entries", kind=kind, subject=subject)

    def get(self, entry_id: str) -> Record:
        """One entry."""
        return record(self.http.get(f"/evidence/entries/{part(entry_id)}"))

    def proof(self, entry_id: str) -> Record:
        """The proof that an entry is in the log; save it and check it off line."""
        return record(self.http.get(f"/evidence/entries/{part(entry_id)}/proof"))

    def consistency(self, first: int, second: int) -> Record:
        """The proof that the checkpoint of the second size continues that of the first."""
        return record(self.http.get("/evidence/consistency", first=first, second=second))

    def verify(self) -> Record | None:
        """Check now that the platform's database holds the log that it held before."""
        found: Record | None = self.http.post("/evidence/verify")
        return found
