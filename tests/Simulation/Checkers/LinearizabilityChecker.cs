namespace KvStore.Simulation;

public enum Verdict
{
    Linearizable,
    Violation,

    /// <summary>The search reached its limit: no verdict, never a pass.</summary>
    Undecided,
}

/// <summary>
/// Is there an order of the operations on one key, respecting real time, in which each gives the result it gave? Wing and
/// Gong's search over the orders, with Lowe's memory of (set of operations already ordered, state): a configuration that was
/// reached before is not explored again. Linearizability is compositional, so each key is checked alone.
/// An operation with an unknown outcome may take effect at any time after its call, or never.
/// </summary>
public sealed class LinearizabilityChecker(int maxConfigurations = 2_000_000)
{
    /// <summary>The first key that is not linearizable, or null; and the verdict over all keys.</summary>
    public (Verdict Verdict, string? Key) Check(IEnumerable<Operation> history)
    {
        Verdict worst = Verdict.Linearizable;
        foreach (IGrouping<string, Operation> key in history.GroupBy(o => o.Key).OrderBy(k => k.Key, StringComparer.Ordinal))
        {
            switch (CheckKey([.. key]))
            {
                case Verdict.Violation:
                    return (Verdict.Violation, key.Key);
                case Verdict.Undecided:
                    worst = Verdict.Undecided;
                    break;
            }
        }

        return (worst, null);
    }

    /// <summary>Checks the operations of one key.</summary>
    public Verdict CheckKey(IReadOnlyList<Operation> operations)
    {
        // A read nobody saw the answer of says nothing.
        Operation[] ops = [.. operations.Where(o => o.Kind != OperationKind.Get || o.Outcome == OperationOutcome.Ok)];
        Event head = Timeline(ops);
        var ordered = new Bits(ops.Length);
        var seen = new HashSet<(Bits Ordered, long? State)>();
        var path = new Stack<(Event Call, long? Before)>();
        long? state = null;
        Event? at = head.Next;
        int definite = ops.Count(o => o.Outcome != OperationOutcome.Unknown);
        while (definite > 0)
        {
            if (at is { IsCall: true })
            {
                Operation operation = ops[at.Operation];
                if (TryApply(operation, state, out long? after))
                {
                    Bits next = ordered.With(at.Operation);
                    if (seen.Add((next, after)))
                    {
                        if (seen.Count > maxConfigurations)
                        {
                            return Verdict.Undecided;
                        }

                        path.Push((at, state));
                        (ordered, state) = (next, after);
                        at.Lift();
                        definite -= operation.Outcome == OperationOutcome.Unknown ? 0 : 1;
                        at = head.Next;
                        continue;
                    }
                }

                at = at.Next;
                continue;
            }

            // A return (or the end) is reached: whatever returns here had to be ordered before. Undo the last choice.
            if (path.Count == 0)
            {
                return Verdict.Violation;
            }

            (Event undone, long? before) = path.Pop();
            ordered = ordered.Without(undone.Operation);
            state = before;
            undone.Unlift();
            definite += ops[undone.Operation].Outcome == OperationOutcome.Unknown ? 0 : 1;
            at = undone.Next;
        }

        return Verdict.Linearizable;
    }

    /// <summary>Whether the operation can take effect in this state and give the result it gave; the state after it.</summary>
    private static bool TryApply(Operation operation, long? state, out long? after)
    {
        after = state;
        switch (operation.Kind)
        {
            case OperationKind.Get:
                return operation.Result == state;

            case OperationKind.Put:
                after = operation.Value;
                return true;

            case OperationKind.Delete:
                after = null;
                return true;

            case OperationKind.Create when operation.Outcome == OperationOutcome.ConditionFailed:
                return state is not null;

            case OperationKind.Create:
                // With an unknown outcome it may also have found the key and done nothing; not ordering it says the same.
                after = operation.Value;
                return state is null;

            default:
                after = (state ?? 0) + operation.Value;
                return operation.Outcome == OperationOutcome.Unknown || operation.Result == after;
        }
    }

    /// <summary>Calls and returns in order of time, linked; a call at the same time as a return comes first. Unknown ones never return.</summary>
    private static Event Timeline(Operation[] ops)
    {
        var events = new List<(long At, int Order, Event Event)>();
        for (int i = 0; i < ops.Length; i++)
        {
            var call = new Event(i, isCall: true);
            events.Add((ops[i].Call, 0, call));
            if (ops[i].Outcome != OperationOutcome.Unknown)
            {
                var back = new Event(i, isCall: false);
                call.Return = back;
                events.Add((ops[i].Return, 1, back));
            }
        }

        var head = new Event(-1, isCall: false);
        Event last = head;
        foreach ((_, _, Event next) in events.OrderBy(e => e.At).ThenBy(e => e.Order).ThenBy(e => e.Event.Operation))
        {
            last.Next = next;
            next.Previous = last;
            last = next;
        }

        return head;
    }

    private sealed class Event(int operation, bool isCall)
    {
        public int Operation => operation;
        public bool IsCall => isCall;
        public Event? Return { get; set; }
        public Event? Next { get; set; }
        public Event? Previous { get; set; }

        /// <summary>Takes a call and its return out of the timeline.</summary>
        public void Lift()
        {
            Unlink();
            Return?.Unlink();
        }

        public void Unlift()
        {
            Return?.Relink();
            Relink();
        }

        private void Unlink()
        {
            Previous!.Next = Next;
            if (Next is not null)
            {
                Next.Previous = Previous;
            }
        }

        private void Relink()
        {
            Previous!.Next = this;
            if (Next is not null)
            {
                Next.Previous = this;
            }
        }
    }

    /// <summary>An immutable set of small numbers with value equality.</summary>
    private readonly struct Bits : IEquatable<Bits>
    {
        private readonly ulong[] _words;

        public Bits(int count) => _words = new ulong[(count + 63) / 64];

        private Bits(ulong[] words) => _words = words;

        public Bits With(int bit) => Flipped(bit);

        public Bits Without(int bit) => Flipped(bit);

        public bool Equals(Bits other) => _words.AsSpan().SequenceEqual(other._words);

        public override bool Equals(object? obj) => obj is Bits other && Equals(other);

        public override int GetHashCode()
        {
            ulong hash = 0xCBF29CE484222325;
            foreach (ulong word in _words)
            {
                hash = (hash ^ word) * 0x100000001B3;
            }

            return (int)(hash ^ (hash >> 32));
        }

        private Bits Flipped(int bit)
        {
            ulong[] words = [.. _words];
            words[bit / 64] ^= 1UL << (bit % 64);
            return new Bits(words);
        }
    }
}
