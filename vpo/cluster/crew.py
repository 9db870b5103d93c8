"""Work that is done by actors which may die: pulled when there is room, sent again when it was lost, answered once.

A crew has one actor at each *place* (a node of the cluster, or a number). Every member has a bounded number of calls
in flight and gets another when one comes back, so a slow one gets less. Work that is lost, with the actor or with its
node, goes to the front of the queue and to another member, if there is one. Places are looked at once a second: a new
one gets an actor. All of this happens in one thread; callers, and the futures of actors, only leave it messages.
"""

from __future__ import annotations

import itertools
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import Future
from typing import Any

from vpo.cluster.member import Member, Task, choose
from vpo.cluster.work import Actor, Lost, R, Work

_LOOK_SECONDS = 1.0
_DEATHS = 3  # of a place's actors in a row, without a good answer in between, after which it is not tried again
_CROWDED = 2  # times that work may be lost beside other work, before it is sent alone
_FAILURES = 3  # answers in a row that say "lost", after which an actor is replaced
_NO_ROOM = (
    "expected CPUs, and GPUs if it needs any, that others do not hold. `ray status` shows who does; ask for less, or "
    "wait longer (start_seconds)."
)
_log = logging.getLogger(__name__)


class Crew:
    """Actors, and the work for them.

    Attributes:
        refused: Why a place is not used (any more).

    Args:
        places: Names the places where an actor should be now.
        hire: Makes the actor of a place.
        welcome: Is given the place and what its actor said first; raises what is wrong with it.
        tries: How often a piece of work may be lost before it is given up.
        start_seconds: The longest that an actor may take to be ready, the wait for its resources included.
        patience_seconds: How long work waits when nobody is ready, for one to come.
        grows: Whether new places may come; else work is given up at once when all places are refused.
    """

    def __init__(
        self,
        places: Callable[[], Collection[str]],
        hire: Callable[[str], Actor],
        welcome: Callable[[str, Any], None],
        *,
        tries: int,
        start_seconds: float,
        patience_seconds: float,
        grows: bool,
    ) -> None:
        self._places, self._hire, self._welcome = places, hire, welcome
        self._tries, self._start_seconds, self._patience = tries, start_seconds, patience_seconds
        self._grows = grows
        self._messages: queue.SimpleQueue[tuple[Callable[..., None], tuple[Any, ...]] | None] = queue.SimpleQueue()
        self._waiting: deque[Task] = deque()
        self._members: dict[str, Member] = {}
        self._deaths: dict[str, int] = {}
        self.refused: dict[str, Exception] = {}
        self._numbers, self._last_ready = itertools.count(), time.monotonic()
        self._settled, self._closed = threading.Event(), False
        self._broken: BaseException | None = None
        self._door = threading.Lock()  # nothing is submitted behind the last message
        self._thread = threading.Thread(target=self._run, name="crew", daemon=True)
        self._thread.start()

    def wait_until_ready(self) -> None:
        """Wait for those that are hired at first.

        Raises:
            Exception: What ``hire`` or ``welcome`` said of one that cannot begin.
            TimeoutError: One was not ready in time.
            RuntimeError: There is no place, or no machinery.
        """
        self._settled.wait()
        for error in self.refused.values():
            raise error
        if self._broken is not None:
            raise RuntimeError(f"the actors cannot be kept together: {self._broken!r}.") from self._broken
        if not self.places:
            raise RuntimeError("there is no place for an actor: expected a node with one CPU at least.")

    @property
    def places(self) -> list[str]:
        """Where an actor is ready now."""
        return [member.place for member in list(self._members.values()) if member.is_ready]

    def submit(self, work: Work[R]) -> Future[R]:
        """Have it done when a member has room.

        Raises:
            RuntimeError: The crew was closed, or has failed.
        """
        task = Task(work, Future())
        with self._door:
            if self._broken is not None:
                raise RuntimeError(f"the actors are gone: {self._broken!r}. Make others.") from self._broken
            if self._closed:
                raise RuntimeError("the actors were ended by close(): make others.")
            self._messages.put((self._on_task, (task,)))
        return task.future

    def close(self) -> None:
        """End the actors; what they have in flight is given up, and what waits is cancelled."""
        with self._door:
            if not self._closed:
                self._closed = True
                self._messages.put(None)
        self._thread.join()

    # --- the crew's own thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        next_look = time.monotonic()
        try:
            while True:
                if time.monotonic() >= next_look:
                    self._look()
                    next_look = time.monotonic() + _LOOK_SECONDS
                self._send()
                try:
                    message = self._messages.get(timeout=max(next_look - time.monotonic(), 0))
                except queue.Empty:
                    continue
                if message is None:
                    break
                handler, arguments = message
                handler(*arguments)
            self._end("the actors were ended by close()", cancel=True)
        except BaseException as error:  # Ray was shut down under it, say: nobody may wait for ever
            with self._door:
                self._broken = error
            self._end(f"the actors are gone: {error!r}", cancel=False)
        finally:
            self._settled.set()

    def _end(self, reason: str, cancel: bool) -> None:
        while not self._messages.empty():
            message = self._messages.get()
            if message is not None and message[0] == self._on_task:
                self._on_task(*message[1])
        for member in list(self._members.values()):
            for task in self._dismiss(member):
                self._give_up(task, reason)
        for task in self._waiting:
            if cancel and task.future.cancel():
                task.future.set_running_or_notify_cancel()  # those who wait for several futures hear of it
            else:
                self._give_up(task, reason)

    def _look(self) -> None:
        """See which places there are, who hangs, and hire where nobody is."""
        now, places = time.monotonic(), self._places()
        for member in list(self._members.values()):
            if member.place not in places:
                self._lose(member, "its place is gone")
            elif not member.is_ready and now - member.began > self._start_seconds:
                late = f"{member.actor.name} was not ready in {self._start_seconds:g} s: {_NO_ROOM}"
                self._refuse(member, TimeoutError(late))
                if self._settled.is_set():  # then others do the work, and some day there may be room for it
                    del self.refused[member.place]
            elif member.flying and now - member.last > max(task.work.seconds for task in member.flying.values()):
                self._lose(member, "it does not answer")
        for place in places:
            if place not in self._members and place not in self.refused:
                try:
                    member = self._members[place] = Member(place, self._hire(place), now)
                except Exception as error:
                    self.refused[place] = error
                else:
                    self._listen(member.actor.ready, self._on_ready, member)
        if all(member.is_ready for member in self._members.values()):
            self._settled.set()
        if self.places or not self._settled.is_set():
            self._last_ready = now
        elif now - self._last_ready >= self._patience or not (self._grows or self._members):
            why = "".join(f" ({error})" for error in list(self.refused.values())[-1:])
            while self._waiting:
                self._give_up(self._waiting.popleft(), f"there is nobody to do it{why}")

    def _listen(self, future: Future[Any], handler: Callable[..., None], *about: Any) -> None:
        future.add_done_callback(lambda done: self._messages.put((handler, (*about, done))))

    def _on_task(self, task: Task) -> None:
        self._waiting.append(task)

    def _on_ready(self, member: Member, done: Future[Any]) -> None:
        if self._members.get(member.place) is not member:
            return
        error = done.exception()
        if error is not None and (death := member.actor.death(error)) is not None:
            self._lose(member, death)
            return
        try:
            self._welcome(member.place, done.result())
        except Exception as wrong:
            self._refuse(member, wrong)
            return
        member.is_ready = True
        if all(each.is_ready for each in self._members.values()):
            self._settled.set()

    def _on_answer(self, member: Member, number: int, done: Future[Any]) -> None:
        if number not in member.flying:  # it was taken for lost, and given to another
            return
        error = done.exception()
        if error is not None and (death := member.actor.death(error)) is not None:
            self._lose(member, death)
            return
        task, member.last = member.flying.pop(number), time.monotonic()
        try:
            result = task.work.read(done.result())
        except Lost as lost:
            member.failures += 1
            self._again(task, member.place, str(lost))
            if member.failures >= _FAILURES:  # else one that fails at once would take most of the work
                self._lose(member, f"{_FAILURES} answers in a row were failures, the last one: {lost}")
            return
        except Exception as wrong:
            task.future.set_exception(wrong)
        else:
            task.future.set_result(result)
        member.failures = 0
        self._deaths.pop(member.place, None)

    def _send(self) -> None:
        """Give work to all that have room."""
        members, kept, held = self._members.values(), set[str](), list[Task]()
        while self._waiting and any(member.is_free and member.place not in kept for member in members):
            task = self._waiting.popleft()
            if task.future.cancelled():
                task.future.set_running_or_notify_cancel()
            elif (member := choose(task, members, kept)) is None:
                held.append(task)
            elif task.future.running() or task.future.set_running_or_notify_cancel():
                self._give(member, task)
        self._waiting.extendleft(reversed(held))

    def _give(self, member: Member, task: Task) -> None:
        try:
            future = member.actor.work(*task.work.arguments())
        except Exception as error:  # what is to be sent cannot be
            task.future.set_exception(error)
            return
        if not member.flying:
            member.last = time.monotonic()
        number = next(self._numbers)
        member.flying[number] = task
        self._listen(future, self._on_answer, member, number)

    def _lose(self, member: Member, reason: str) -> None:
        """Its actor is of no use any more: others do its work, and the place gets another if it is still there."""
        reason = f"{member.actor.name}: {reason}"
        deaths = self._deaths[member.place] = self._deaths.get(member.place, 0) + (not member.has_suspect)
        if deaths >= _DEATHS:
            self.refused[member.place] = RuntimeError(f"{deaths} actors in a row were lost, the last one {reason}.")
        # said before it is done: who sees that the place is gone finds the reason in the log
        _log.warning("lost an actor with %d calls, which go to others. %s", len(member.flying), reason)
        for task in reversed(self._dismiss(member)):
            self._again(task, member.place, reason)

    def _refuse(self, member: Member, error: Exception) -> None:
        _log.warning("%s is not used: %s", member.actor.name, error)
        self.refused[member.place] = error
        self._dismiss(member)

    def _dismiss(self, member: Member) -> list[Task]:
        """End an actor; what it was doing, in order."""
        tasks = list(member.flying.values())
        member.flying.clear()
        self._members.pop(member.place, None)
        member.actor.end()
        return tasks

    def _again(self, task: Task, place: str, reason: str) -> None:
        task.losses, task.avoids = task.losses + 1, place
        task.is_suspect = task.losses >= min(_CROWDED, self._tries - 1)
        if task.losses < self._tries:
            self._waiting.appendleft(task)
        else:
            self._give_up(task, f"lost {task.losses} times, the last time by {reason}")

    def _give_up(self, task: Task, reason: str) -> None:
        if task.future.running() or task.future.set_running_or_notify_cancel():
            try:
                task.future.set_result(task.work.give_up(reason))
            except Exception as error:
                task.future.set_exception(error)
