using KvStore.Protocol;
using KvStore.StateMachine;

namespace KvStore.Replication.Tests.StateMachine;

/// <summary>The same entries for everybody who starts from the same seed: every write operation that a group of the level knows, and no other.</summary>
internal sealed class CommandStream(int seed, ushort level)
{
    private const ulong D = 600_000;
    private const ulong Hour = 3_600_000;
    private const int Clients = 4;

    /// <summary>One stream of so many at a level has values that meet the limit: they make everything slow.</summary>
    private const int LargeValuesEvery = 50;

    // Short keys in all four virtual nodes, and two that share a hash tag.
    private static readonly string[] Keys = ["k", "k0", "k1", "k2", "{k}a", "{k}b"];
    private static readonly string?[] Types = [null, "text/plain", "application/json", "application/x-rare"];

    private readonly Random _random = new(seed);
    private readonly List<KvRequest> _sent = [];
    private readonly ulong[] _sequences = new ulong[Clients];
    private ulong _time = Machine.Start;
    private ulong _lastClock = Machine.Start << 16;

    /// <summary>Revisions seen in results: conditions are made of them.</summary>
    private readonly List<ulong> _revisions = [0, 1];

    public (ulong Clock, KvRequest[] Requests) Next()
    {
        AdvanceTime();
        ulong clock = _random.Next(10) switch
        {
            // A careless leader: the clock repeats what was used, or is an hour behind.
            0 => _lastClock,
            1 => _lastClock - (Hour << 16),
            _ => _time << 16,
        };
        _lastClock = Math.Max(clock, _lastClock);
        KvRequest[] requests = [.. Enumerable.Range(0, _random.Next(1, 6)).Select(_ => NextRequest())];
        return (clock, requests);
    }

    public void Saw(IEnumerable<CommandResult> results) =>
        _revisions.AddRange(results.Where(r => r.Revision != 0).Select(r => r.Revision));

    // Steps that are fractions of the window, so that expiry and group time often meet exactly.
    private void AdvanceTime() => _time += _random.Next(12) switch
    {
        < 7 => 0,
        7 => 1,
        8 => D / 4,
        9 => D / 2,
        10 => D,
        _ => _random.Next(3) == 0 ? Hour : 0,
    };

    private KvRequest NextRequest()
    {
        // A copy of something sent before: recently (a retry), or any time (one that stalled somewhere).
        if (_sent.Count > 0 && _random.Next(3) == 0)
        {
            int age = _random.Next(2) == 0 ? _random.Next(Math.Min(8, _sent.Count)) : _random.Next(Math.Min(60, _sent.Count));
            KvRequest copy = _sent[_sent.Count - 1 - age];
            bool reused = copy.Id is { Sequence: 0 } && _random.Next(4) == 0;
            return reused ? copy with { Id = copy.Id!.Value with { Digest = Machine.Digest(99) } } : copy;
        }

        KvRequest request = _random.Next(5) == 0 ? NextBatch()
            : level >= 2 && _random.Next(4) == 0 ? NextTransaction()
            : NextSingle(Keys[_random.Next(Keys.Length)]);
        request = request with { Id = NextId(request.Operation) };
        _sent.Add(request);
        return request;
    }

    private RequestId? NextId(Operation operation)
    {
        ulong firstSent = _random.Next(8) switch
        {
            0 => _time - D,
            1 => _time - D - 1,
            2 => _time + Hour,
            3 => _time + Hour + 1,
            4 => 0,
            5 => _time + D / 2,
            _ => _time,
        };
        switch (_random.Next(8))
        {
            case 0:
                return null;
            case 1:
                return Machine.UserKey((ulong)_random.Next(1000, 1006), firstSent, RequestDigest.OfBody(operation).Value);
            default:
                int client = _random.Next(Clients);
                ulong sequence = ++_sequences[client];
                ulong back = (ulong)_random.Next(6);
                ulong ackedBelow = _random.Next(10) switch
                {
                    < 4 => 0,
                    9 => sequence + 2,
                    _ => sequence > back ? sequence - back : 0,
                };
                return new RequestId((ulong)client + 1, sequence, firstSent, ackedBelow);
        }
    }

    private KvRequest NextBatch()
    {
        KvRequest[] items = [.. Enumerable.Range(0, _random.Next(1, 5)).Select(_ => NextSingle(Keys[_random.Next(Keys.Length)]))];
        return Machine.Batch(null, items);
    }

    // Keys of one slot, as the door demands; of the values that stand there, so that conditions on them hold now and then.
    private KvRequest NextTransaction()
    {
        string[] keys = ["k", "{k}a", "{k}b"];
        KeyCondition[] conditions = [.. Enumerable.Range(0, _random.Next(3)).Select(_ => NextCondition(Machine.Bytes(keys[_random.Next(3)])))];
        Operation[] then = [.. Enumerable.Range(0, _random.Next(4)).Select(_ => NextItem(keys[_random.Next(3)]))];
        Operation[] otherwise = [.. Enumerable.Range(0, _random.Next(3)).Select(_ => NextItem(keys[_random.Next(3)])), new Get("k"u8)];
        return new KvRequest { Operation = new Transaction(conditions, then, otherwise) };
    }

    private KeyCondition NextCondition(byte[] key) => _random.Next(6) switch
    {
        0 => KeyCondition.RevisionIs(key, _revisions[Math.Max(0, _revisions.Count - 1 - _random.Next(10))]),
        1 => KeyCondition.Exists(key),
        2 => KeyCondition.Absent(key),
        3 => KeyCondition.ValueIs(key, Machine.Bytes(new string('v', _random.Next(3)))),
        4 => KeyCondition.StoredIs(key, Machine.Bytes(new string('v', _random.Next(3))), Types[_random.Next(Types.Length)]),
        _ => KeyCondition.ValueIs(key, Machine.Bytes($"{_random.Next(-2, 3)}")),
    };

    private Operation NextItem(string key) => _random.Next(5) switch
    {
        0 => new Get(Machine.Bytes(key), withoutValue: false),
        1 => new Put(Machine.Bytes(key), Machine.Bytes(new string('v', _random.Next(3))), Types[_random.Next(Types.Length)]),
        2 => new Get(Machine.Bytes(key)),
        _ => NextSingle(key).Operation,
    };

    private KvRequest NextSingle(string key)
    {
        KvCondition condition = _random.Next(10) switch
        {
            0 => Machine.Absent,
            1 => Machine.Exists,
            2 or 3 => Machine.Is(_revisions[Math.Max(0, _revisions.Count - 1 - _random.Next(10))]),
            _ => default,
        };
        long big = _random.Next(8) == 0 ? long.MaxValue - 1 : 0;
        if (level >= 2 && _random.Next(4) == 0)
        {
            return Machine.Append(
                key, new string('a', _random.Next(seed % LargeValuesEvery == 1 ? 8 : 3)), condition: condition, type: Types[_random.Next(Types.Length)]);
        }

        if (seed % LargeValuesEvery == 1 && level >= 2 && _random.Next(20) == 0)
        {
            return Machine.Put(key, new string('l', Limits.MaxValueBytes - _random.Next(4)), type: Types[_random.Next(Types.Length)]);
        }

        return _random.Next(6) switch
        {
            0 => Machine.Delete(key, condition: condition),
            1 or 2 => Machine.Increment(key, _random.Next(-2, 3), big, condition: condition),
            3 => Machine.Put(key, $"{_random.Next(100)}", condition: condition, type: Types[_random.Next(Types.Length)]),
            _ => Machine.Put(key, new string('v', _random.Next(40)), condition: condition, type: Types[_random.Next(Types.Length)]),
        };
    }
}
