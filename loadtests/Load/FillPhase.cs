using KvStore.LoadTests.Reports;
using KvStore.LoadTests.Servers;
using KvStore.Protocol;

namespace KvStore.LoadTests.Load;

/// <summary>Writes every key of a key space once. Each write is sent again, under the same id, until it is acknowledged.</summary>
internal sealed class FillPhase(IStoreClient client, KeySpace keys, int valueBytes, int seed, Progress progress)
{
    private const int Copies = 128;
    private const int TimeoutMs = 10_000;
    private const int AttemptsPerKey = 20;
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    private int _next = -1;
    private int _done;

    /// <exception cref="ServersException">A key cannot be written.</exception>
    public async Task RunAsync(CancellationToken cancellation)
    {
        var ids = RequestIdSource.Random(Random.Shared);
        var writers = Enumerable.Range(0, Copies).Select(index => Task.Run(() => WriteAsync(index, ids, cancellation), cancellation));
        var all = Task.WhenAll(writers.ToArray());
        while (!all.IsCompleted)
        {
            await Task.WhenAny(all, Task.Delay(TimeSpan.FromMilliseconds(200), CancellationToken.None));
            progress.ShowShare("filling", Volatile.Read(ref _done), keys.Count);
        }

        await all;
    }

    private async Task WriteAsync(int index, RequestIdSource ids, CancellationToken cancellation)
    {
        byte[] value = new byte[valueBytes];
        new Random(unchecked((seed * 17) + index)).NextBytes(value);
        while (Interlocked.Increment(ref _next) is var number && number < keys.Count)
        {
            var request = new KvRequest
            {
                Operation = KvOperation.Put,
                Key = KeySpace.KeyOf(number),
                Value = value,
                Id = ids.Begin(),
                TimeoutMs = TimeoutMs,
            };
            await PutAsync(index, request, cancellation);
            ids.End(request.Id.Value);
            Interlocked.Increment(ref _done);
        }
    }

    private async Task PutAsync(int index, KvRequest request, CancellationToken cancellation)
    {
        for (int attempt = 1; ; attempt++)
        {
            var reply = await client.SendAsync((index + attempt) % client.NodeCount, index, request);
            if (reply.Code == ErrorCode.None)
            {
                return;
            }

            if (attempt == AttemptsPerKey)
            {
                throw new ServersException($"a key cannot be written, {attempt} attempts, the last one: {reply.Code} {reply.Detail}");
            }

            await Task.Delay(Pause, cancellation);
        }
    }
}
