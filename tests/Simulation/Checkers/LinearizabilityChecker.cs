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
/// <para>
/// Four rules keep the search near a straight line; each leaves out only orders that succeed exactly when one that stays does:
/// an operation that never changes the state is ordered as soon as it fits; of unknown operations that do the same the oldest
/// goes first; an unknown one that would change nothing is left out; and where a value never comes back, the state does not
/// leave it before everything that needs it is ordered.
/// </para>
/// </summary>
public sealed class LinearizabilityChecker(int maxConfigurations = 500_000)
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
        var key = new KeyHistory(operations);
        Operation[] ops = key.Operations;
        Event head = Timeline(ops);
        var ordered = new Bits(ops.Length);
        var seen = new HashSet<(Bits Ordered, long? State)>();
        var path = new Stack<(Event Call, long? Before, bool ForGood)>();
        long? state = null;
        Event? at = head.Next;
        int definite = ops.Count(o => o.Outcome != OperationOutcome.Unknown);
        while (definite > 0)
        {
            if (at is { IsCall: true })
            {
                int n = at.Operation;
                Operation operation = ops[n];
                if (TryApply(operation, state, out long? after) && key.MayBeNext(n, state, after, ordered))
                {
                    Bits next = ordered.Flipped(n);
                    bool forGood = NeverWrites(operation);
                    if (seen.Add((next, after)))
                    {
                        if (seen.Count > maxConfigurations)
                        {
                            return Verdict.Undecided;
                        }

                        path.Push((at, state, forGood));
                        key.Order(n);
                        (ordered, state) = (next, after);
                        at.Lift();
                        definite -= operation.Outcome == OperationOutcome.Unknown ? 0 : 1;
                        at = head.Next;
                        continue;
                    }

                    // What could be ordered for good leads to a place that is known to be a dead end, so this is one.
                    at = forGood ? null : at.Next;
                    continue;
                }

                at = at.Next;
                continue;
            }

            // A return (or the end) is reached: whatever returns here had to be ordered before. Undo the last choice.
            bool wasForGood;
            do
            {
                if (path.Count == 0)
                {
                    return Verdict.Violation;
                }

                (Event undone, long? before, wasForGood) = path.Pop();
                key.Undo(undone.Operation);
                ordered = ordered.Flipped(undone.Operation);
                state = before;
                undone.Unlift();
                definite += ops[undone.Operation].Outcome == OperationOutcome.Unknown ? 0 : 1;
                at = undone.Next;
            }
            while (wasForGood);
        }

        return Verdict.Linearizable;
    }

    /// <summary>It can be moved to any place where it fits without anybody noticing.</summary>
    private static bool NeverWrites(Operation operation) =>
        operation.Kind == OperationKind.Get || operation.Outcome == OperationOutcome.ConditionFailed;

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

    /// <summary>What is known of a key's operations before the search begins, and which value how many of them still need.</summary>
    private sealed class KeyHistory
    {
        private readonly int[] _olderTwin;
        private readonly Dictionary<long, int> _stillNeeded = [];
        private readonly bool _isCounter;
        private readonly bool _valuesNeverComeBack;

        public KeyHistory(IReadOnlyList<Operation> operations)
        {
            // A read nobody saw the answer of says nothing.
            Operation[] ops = [.. operations.Where(o => o.Kind != OperationKind.Get || o.Outcome == OperationOutcome.Ok)];
            _isCounter = ops.All(o => o.Kind == OperationKind.Get || o is { Kind: OperationKind.Increment, Value: > 0 });
            long[] written = [.. ops.Where(o => o.Kind is OperationKind.Put or OperationKind.Create).Select(o => o.Value!.Value)];
            _valuesNeverComeBack = _isCounter || (written.Length == written.Distinct().Count() && !ops.Any(o => o.Kind == OperationKind.Increment));
            Operations = _isCounter || !_valuesNeverComeBack ? ops : WithoutUnseenValues(ops);
            _olderTwin = OlderTwins(Operations);
            foreach (Operation operation in Operations)
            {
                Count(operation, 1);
            }
        }

        public Operation[] Operations { get; }

        /// <summary>Whether the search loses nothing by trying this one here.</summary>
        public bool MayBeNext(int n, long? state, long? after, Bits ordered)
        {
            Operation operation = Operations[n];
            if (operation.Outcome == OperationOutcome.Unknown && (after == state || (_olderTwin[n] >= 0 && !ordered.Contains(_olderTwin[n]))))
            {
                return false;
            }

            if (!_valuesNeverComeBack || after == state || (_isCounter ? state ?? 0 : state) is not { } left)
            {
                return true;
            }

            return _stillNeeded.GetValueOrDefault(left) == (Needs(operation) == left ? 1 : 0);
        }

        public void Order(int n) => Count(Operations[n], -1);

        public void Undo(int n) => Count(Operations[n], 1);

        private void Count(Operation operation, int change)
        {
            if (Needs(operation) is { } value)
            {
                _stillNeeded[value] = _stillNeeded.GetValueOrDefault(value) + change;
            }
        }

        /// <summary>The one value in which an operation can take effect; null when there are more. A counter nobody touched is 0.</summary>
        private long? Needs(Operation operation) => (operation.Kind, operation.Outcome) switch
        {
            (OperationKind.Get, _) => _isCounter ? operation.Result ?? 0 : operation.Result,
            (OperationKind.Increment, OperationOutcome.Ok) => operation.Result - operation.Value,
            _ => null,
        };

        /// <summary>
        /// Values that nobody read are alike. A write of one that may never have happened matters only to a create that was refused.
        /// </summary>
        private static Operation[] WithoutUnseenValues(Operation[] ops)
        {
            HashSet<long?> read = [.. ops.Where(o => o.Kind == OperationKind.Get).Select(o => o.Result)];
            bool refusals = ops.Any(o => o.Outcome == OperationOutcome.ConditionFailed);
            return
            [
                .. ops
                    .Select(o => o.Kind is OperationKind.Put or OperationKind.Create && !read.Contains(o.Value) ? o with { Value = Unseen } : o)
                    .Where(o => refusals || o.Value != Unseen || o.Outcome != OperationOutcome.Unknown),
            ];
        }

        /// <summary>For each unknown operation the one called next before it that does the same and is unknown, too; -1 without.</summary>
        private static int[] OlderTwins(Operation[] ops)
        {
            int[] older = new int[ops.Length];
            Array.Fill(older, -1);
            foreach (IGrouping<(OperationKind, long?), int> twins in Enumerable.Range(0, ops.Length)
                .Where(n => ops[n].Outcome == OperationOutcome.Unknown)
                .OrderBy(n => ops[n].Call)
                .GroupBy(n => (ops[n].Kind, ops[n].Value)))
            {
                int before = -1;
                foreach (int n in twins)
                {
                    (older[n], before) = (before, n);
                }
            }

            return older;
        }

        private const long Unseen = long.MinValue;
    }

    /// <summary>
    /// Calls and returns in order of time, linked; a call at the same time as a return comes first. Unknown ones never return.
    /// </summary>
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

        public bool Contains(int bit) => (_words[bit / 64] & (1UL << (bit % 64))) != 0;

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

        public Bits Flipped(int bit)
        {
            ulong[] words = [.. _words];
            words[bit / 64] ^= 1UL << (bit % 64);
            return new Bits(words);
        }
    }
}
