using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using KvStore.LoadTests.Load;
using KvStore.Protocol;

namespace KvStore.LoadTests.Chaos;

/// <summary>
/// Fills the memory of a cluster until it refuses, reads while it is full, and deletes everything again. Values of 100 bytes and of 1 MiB,
/// counters, and writes that their users have named, over both doors: those over REST leave a record each for the whole window. These keys are
/// no part of the history; what is read of them is compared here.
/// </summary>
/// <param name="binary">Most writes, all deletes.</param>
/// <param name="rest">A hundredth of the writes, and reads.</param>
/// <param name="mostBytes">Values of more bytes cannot fit: a fill that was never refused ends there.</param>
/// <param name="random">Of what is written.</param>
internal sealed class MemoryFill(IStoreClient binary, IStoreClient rest, long mostBytes, Random random)
{
    private const int Workers = 48;
    private const int SmallBytes = 100;
    private const int LargeBytes = 1 << 20;
    private const int Sample = 500;
    private const int TimeoutMs = 5000;

    /// <summary>Refusals of a small write in a row after which a round is full.</summary>
    private const int RefusalsWhenFull = 200;

    // Of a thousand writes.
    private const int Large = 2, Keyed = 50, KeyedOverRest = 10, Counters = 200;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan LongestFill = TimeSpan.FromMinutes(3);

    private readonly PatientClient _binary = new(binary, Patience, TimeProvider.System);
    private readonly PatientClient _rest = new(rest, Patience, TimeProvider.System);
    private readonly RequestIdSource _ids = RequestIdSource.Random(random);
    private readonly ConcurrentDictionary<long, int> _written = [];
    private long _number, _taken, _takenBytes, _refused, _refusedUnsure, _others;
    private int _refusedInARow;

    private enum Kind
    {
        Small,
        Large,
        Counter,
        Keyed,
        KeyedOverRest,
    }

    /// <summary>Fills, looks and empties.</summary>
    /// <param name="round">Takes what was promised and not kept.</param>
    /// <param name="cancellation">There is nothing to be found out any more.</param>
    public async Task<MemoryRound> RunAsync(FaultRound round, CancellationToken cancellation)
    {
        _taken = _takenBytes = _refused = _refusedUnsure = _others = _refusedInARow = 0;
        long start = TimeProvider.System.GetTimestamp();
        bool GoesOn() => Volatile.Read(ref _refusedInARow) < RefusalsWhenFull && Volatile.Read(ref _takenBytes) < mostBytes
            && TimeProvider.System.GetElapsedTime(start) < LongestFill && !cancellation.IsCancellationRequested;
        await TogetherAsync(async () =>
        {
            while (GoesOn())
            {
                await WriteAsync(Interlocked.Increment(ref _number));
            }
        });
        if (_refused == 0 && !cancellation.IsCancellationRequested)
        {
            round.Broken.Add(string.Create(CultureInfo.InvariantCulture, $"{_takenBytes:N0} bytes of values were taken and nothing was refused"));
        }

        long read = await ReadAsync(round, cancellation);
        long deleted = await DeleteAsync(round, cancellation);
        return new MemoryRound
        {
            Taken = _taken,
            TakenBytes = _takenBytes,
            Refused = _refused,
            RefusedUnsure = _refusedUnsure,
            Read = read,
            Deleted = deleted,
            ResidentBytes = null,
        };
    }

    private async Task WriteAsync(long number)
    {
        int draw = Draw(number, 1000);
        Kind kind = draw < Large ? Kind.Large
            : draw < Large + KeyedOverRest ? Kind.KeyedOverRest
            : draw < Large + Keyed ? Kind.Keyed
            : draw < Large + Keyed + Counters ? Kind.Counter
            : Kind.Small;
        byte[] key = KeyOf(number);
        byte[] value = kind == Kind.Counter ? [] : ValueOf(number, kind == Kind.Large ? LargeBytes : SmallBytes);
        var request = new KvRequest
        {
            Operation = kind == Kind.Counter ? new Increment(key, number) : new Put(key, value),
            Id = kind is Kind.Keyed or Kind.KeyedOverRest ? _ids.Begin() : null,
            TimeoutMs = TimeoutMs,
        };
        var client = kind == Kind.KeyedOverRest ? rest : binary;
        var reply = await client.SendAsync((int)(number % client.NodeCount), (int)(number % Workers), request);
        if (request.Id is { } id)
        {
            _ids.End(id);
        }

        if (reply.Code == ErrorCode.None)
        {
            Interlocked.Increment(ref _taken);
            Interlocked.Add(ref _takenBytes, value.Length);
            _written[number] = kind == Kind.Counter ? -1 : value.Length;
            Volatile.Write(ref _refusedInARow, 0);
            return;
        }

        if (reply.Outcome != Outcome.NotApplied)
        {
            _written[number] = 0; // perhaps there: it is deleted like the others, and not compared
        }

        if (reply.Code == ErrorCode.Overloaded)
        {
            Interlocked.Increment(ref _refused);
            Interlocked.Add(ref _refusedUnsure, reply.Outcome == Outcome.NotApplied ? 0 : 1);
            Interlocked.Add(ref _refusedInARow, kind == Kind.Large ? 0 : 1);
        }
        else
        {
            Interlocked.Increment(ref _others);
        }
    }

    // Large ones first and by REST, many at a time: their answers take memory, too.
    private async Task<long> ReadAsync(FaultRound round, CancellationToken cancellation)
    {
        var numbers = new ConcurrentQueue<long>(
            _written.Where(pair => pair.Value != 0).OrderByDescending(pair => pair.Value).ThenBy(pair => pair.Key).Select(pair => pair.Key).Take(Sample));
        long read = 0;
        await TogetherAsync(async () =>
        {
            while (!cancellation.IsCancellationRequested && numbers.TryDequeue(out long number))
            {
                byte[] key = KeyOf(number);
                var request = new KvRequest { Operation = new Get(key) };
                var answer = await _rest.SendAsync((int)(number % rest.NodeCount), 0, request);
                Interlocked.Increment(ref read);
                if (answer.Outcome != OperationOutcome.Ok)
                {
                    Say(round, $"a read was not answered while memory was full: {answer.Reply.Code}, {answer.Reply.Detail}");
                }
                else if (answer.Reply.Result is not Found found || !found.Value.Span.SequenceEqual(Expected(number)))
                {
                    Say(round, $"{Encoding.ASCII.GetString(key)} does not hold what was acknowledged");
                }
            }
        });
        return read;
    }

    private async Task<long> DeleteAsync(FaultRound round, CancellationToken cancellation)
    {
        var numbers = new ConcurrentQueue<long>(_written.Keys);
        long deleted = 0;
        await TogetherAsync(async () =>
        {
            while (!cancellation.IsCancellationRequested && numbers.TryDequeue(out long number))
            {
                var request = new KvRequest { Operation = new Delete(KeyOf(number)), TimeoutMs = TimeoutMs };
                int node = (int)(number % binary.NodeCount);
                var reply = await binary.SendAsync(node, (int)(number % Workers), request);
                if (reply.Code == ErrorCode.Overloaded)
                {
                    Say(round, $"a delete was refused: {reply.Detail}");
                }

                if (reply.Code != ErrorCode.None && (await _binary.SendAsync(node, (int)(number % Workers), request)).Outcome != OperationOutcome.Ok)
                {
                    Say(round, $"a delete was not answered: {reply.Code}, {reply.Detail}");
                    continue;
                }

                Interlocked.Increment(ref deleted);
                _written.TryRemove(number, out _);
            }
        });
        return deleted;
    }

    private static async Task TogetherAsync(Func<Task> work) =>
        await Task.WhenAll(Enumerable.Range(0, Workers).Select(_ => Task.Run(work)));

    // The first of a kind is enough: a node that ended would say it a hundred thousand times.
    private static void Say(FaultRound round, string broken)
    {
        lock (round.Broken)
        {
            if (round.Broken.Count < 10)
            {
                round.Broken.Add(broken);
            }
        }
    }

    private byte[] Expected(long number) => _written[number] is > 0 and var length
        ? ValueOf(number, length)
        : Encoding.ASCII.GetBytes(number.ToString(CultureInfo.InvariantCulture));

    private static byte[] KeyOf(long number) => Encoding.ASCII.GetBytes($"fill-{number}");

    private static byte[] ValueOf(long number, int length)
    {
        byte[] value = new byte[length];
        BinaryPrimitives.WriteInt64LittleEndian(value, number);
        value.AsSpan(8).Fill((byte)number);
        return value;
    }

    private static int Draw(long number, int below) => (int)((ulong)number * 0x9E3779B97F4A7C15 % 1_000_003 % (ulong)below);
}
