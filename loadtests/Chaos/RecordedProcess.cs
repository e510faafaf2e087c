using System.Text;
using KvStore.LoadTests.Load;
using KvStore.Protocol;

namespace KvStore.LoadTests.Chaos;

/// <summary>
/// One process of a recorded run: one operation after the other at a steady pace. A writer owns its keys alone and never writes
/// a value twice. Half of the operations go to the first few keys of a writer: only where a key was just written does a read have
/// something to miss.
/// </summary>
internal sealed class RecordedProcess(PatientClient client, Recorder recorder, TimeSpan interval, int seed)
{
    private const int HotKeys = 4;

    // Below what a follower can prove by itself, about as much, and more.
    private static readonly int[] Bounds = [20, 100, 250, 1000];

    private static readonly ReadTerms SessionTerms = new() { Level = ReadLevel.Session };

    private readonly int _process = recorder.NewProcess();
    private readonly Random _random = new(seed);
    private readonly RequestIdSource _ids = RequestIdSource.Random(new Random(seed));
    private long _lastNumber;

    public Task WriteAsync(IReadOnlyList<string> ownKeys, CancellationToken cancellation) =>
        PacedAsync(() => PutAsync(ownKeys, session: null), cancellation);

    /// <summary>Reads everybody's keys at every level that needs no token.</summary>
    public Task ReadAsync(IReadOnlyList<IReadOnlyList<string>> keys, CancellationToken cancellation) =>
        PacedAsync(() => SendAsync(DrawRead(Draw(DrawOf(keys))), session: null), cancellation);

    /// <summary>
    /// Carries a token: writes its own keys, reads them and everybody's at level session, and now and then goes on from the token of
    /// another session and looks at what that one writes.
    /// </summary>
    public Task GoOnInSessionAsync(
        ClientSession session, IReadOnlyList<string> ownKeys, IReadOnlyList<(ClientSession Session, IReadOnlyList<string> Keys)> others,
        CancellationToken cancellation) => PacedAsync(
        () =>
        {
            switch (_random.Next(6))
            {
                case 0 or 1:
                    return PutAsync(ownKeys, session);
                case 2 or 3:
                    return SendAsync(SessionRead(Draw(ownKeys)), session);
                case 4:
                    return SendAsync(SessionRead(Draw(DrawOf(others).Keys)), session);
                default:
                    var from = DrawOf(others);
                    session.Receive(from.Session);
                    return SendAsync(SessionRead(Draw(from.Keys)), session);
            }
        },
        cancellation);

    private static KvRequest SessionRead(byte[] key) => new() { Operation = new Get(key), Read = SessionTerms };

    private KvRequest DrawRead(byte[] key)
    {
        var level = DrawOf([ReadLevel.Strong, ReadLevel.Bounded, ReadLevel.Bounded, ReadLevel.Eventual]);
        return new KvRequest
        {
            Operation = new Get(key),
            Read = new ReadTerms
            {
                Level = level,
                MaxStalenessMs = level == ReadLevel.Bounded ? DrawOf(Bounds) : 0,
                OnUnmet = _random.Next(8) == 0 ? OnUnmet.Serve : OnUnmet.Forward,
            },
        };
    }

    private async Task PutAsync(IReadOnlyList<string> ownKeys, ClientSession? session)
    {
        var request = new KvRequest
        {
            Operation = new Put(Draw(ownKeys), Encoding.ASCII.GetBytes($"p{_process}.{++_lastNumber}")),
            Id = _ids.Begin(),
        };
        await SendAsync(request, session);
        _ids.End(request.Id.Value);
    }

    private async Task SendAsync(KvRequest request, ClientSession? session)
    {
        var sent = session?.Token;
        long call = recorder.Now;
        var answer = await client.SendAsync(_random.Next(client.NodeCount), _process, request, session);
        recorder.Record(_process, request, call, answer, sent);
    }

    // After a long wait the pace is taken up again, not caught up on: a burst is not what this is about.
    private async Task PacedAsync(Func<Task> operateAsync, CancellationToken cancellation)
    {
        long due = recorder.Now + (long)(_random.NextDouble() * interval.TotalNanoseconds);
        while (!cancellation.IsCancellationRequested)
        {
            var wait = TimeSpan.FromMicroseconds((due - recorder.Now) / 1000);
            if (wait > TimeSpan.Zero)
            {
                await Task.Delay(wait, cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }

            if (!cancellation.IsCancellationRequested)
            {
                await operateAsync();
            }

            due = Math.Max(due + (long)interval.TotalNanoseconds, recorder.Now);
        }
    }

    private byte[] Draw(IReadOnlyList<string> keys) =>
        Encoding.ASCII.GetBytes(keys[_random.Next(_random.Next(2) == 0 ? Math.Min(HotKeys, keys.Count) : keys.Count)]);

    private T DrawOf<T>(IReadOnlyList<T> all) => all[_random.Next(all.Count)];
}
