using KvStore.LoadTests.Reports;
using KvStore.LoadTests.Servers;
using KvStore.Protocol;

namespace KvStore.LoadTests.Load;

/// <summary>A number of writes that must all happen. Each is sent again, under the same id, until it is acknowledged.</summary>
/// <param name="client">The door.</param>
/// <param name="count">How many writes.</param>
/// <param name="writeOf">The write of a number; id and timeout are filled in here. Any thread.</param>
/// <param name="doing">What the progress line calls it.</param>
/// <param name="progress">Shows how far it is.</param>
internal sealed class WritePhase(IStoreClient client, int count, Func<int, KvRequest> writeOf, string doing, Progress progress)
{
    private const int Copies = 128;
    private const int TimeoutMs = 10_000;
    private const int AttemptsPerWrite = 20;
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    private int _next = -1;
    private int _done;

    /// <summary>Every key of a key space once.</summary>
    public static WritePhase Fill(IStoreClient client, KeySpace keys, int valueBytes, int seed, Progress progress)
    {
        byte[][] values = ValuesOf(valueBytes, seed);
        return new WritePhase(
            client, keys.Count,
            number => new KvRequest { Operation = new Put(KeySpace.KeyOf(number), values[number % values.Length]) },
            "filling", progress);
    }

    /// <summary>Random values to take turns with.</summary>
    public static byte[][] ValuesOf(int valueBytes, int seed)
    {
        var random = new Random(seed);
        byte[][] values = [.. Enumerable.Range(0, Copies).Select(_ => new byte[valueBytes])];
        Array.ForEach(values, random.NextBytes);
        return values;
    }

    /// <exception cref="ServersException">A write is not acknowledged, however often it is sent.</exception>
    public async Task RunAsync(CancellationToken cancellation)
    {
        var ids = RequestIdSource.Random(Random.Shared);
        var writers = Enumerable.Range(0, Copies).Select(index => Task.Run(() => WriteAsync(index, ids, cancellation), cancellation));
        var all = Task.WhenAll(writers.ToArray());
        while (!all.IsCompleted)
        {
            await Task.WhenAny(all, Task.Delay(TimeSpan.FromMilliseconds(200), CancellationToken.None));
            progress.ShowShare(doing, Volatile.Read(ref _done), count);
        }

        await all;
    }

    private async Task WriteAsync(int index, RequestIdSource ids, CancellationToken cancellation)
    {
        while (Interlocked.Increment(ref _next) is var number && number < count)
        {
            var id = ids.Begin();
            await SendAsync(index, writeOf(number) with { Id = id, TimeoutMs = TimeoutMs }, cancellation);
            ids.End(id);
            Interlocked.Increment(ref _done);
        }
    }

    private async Task SendAsync(int index, KvRequest request, CancellationToken cancellation)
    {
        for (int attempt = 1; ; attempt++)
        {
            var reply = await client.SendAsync((index + attempt) % client.NodeCount, index, request);
            if (reply.Code == ErrorCode.None)
            {
                return;
            }

            if (attempt == AttemptsPerWrite)
            {
                throw new ServersException($"a write is not acknowledged, {attempt} attempts, the last one: {reply.Code} {reply.Detail}");
            }

            await Task.Delay(Pause, cancellation);
        }
    }
}
