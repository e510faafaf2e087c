using System.Threading.Channels;
using KvStore.Protocol;

namespace KvStore.LoadTests.Load;

/// <summary>One client of a scenario: at most one request in flight, always over the same node and lane.</summary>
internal sealed class VirtualUser(
    int index, IStoreClient client, Scenario scenario, RequestIdSource ids, TimeProvider clock, Measurement measurement)
{
    private const int RequestTimeoutMs = 10_000;

    private readonly Random _random = new(unchecked((scenario.Seed * 31) + index));
    private readonly byte[] _value = ValueOf(scenario, index);
    private readonly int _node = index % client.NodeCount;
    private readonly int _totalWeight = scenario.Steps.Sum(step => step.Weight);

    /// <summary>Closed loop: the next request leaves when the last one is answered.</summary>
    public async Task RepeatUntilAsync(long end, CancellationToken cancellation)
    {
        while (!cancellation.IsCancellationRequested && clock.GetTimestamp() is var due && due < end)
        {
            await SendAsync(due);
        }
    }

    /// <summary>Open loop: takes the next due time, late or not, until there are no more.</summary>
    public async Task TakeDueAsync(ChannelReader<long> dueTimes)
    {
        try
        {
            while (true)
            {
                // Not WaitToReadAsync: it would wake every idle user for one due time.
                await SendAsync(await dueTimes.ReadAsync());
            }
        }
        catch (ChannelClosedException)
        {
            // The run is over.
        }
    }

    private async ValueTask SendAsync(long due)
    {
        int step = DrawStep();
        var request = RequestOf(scenario.Steps[step]);
        var reply = await client.SendAsync(_node, index, request);
        if (request.Id is { } id)
        {
            ids.End(id);
        }

        measurement.Record(step, due, clock.GetTimestamp(), reply.Code);
    }

    private int DrawStep()
    {
        int draw = _totalWeight == 1 ? 0 : _random.Next(_totalWeight);
        int step = 0;
        while (draw >= scenario.Steps[step].Weight)
        {
            draw -= scenario.Steps[step++].Weight;
        }

        return step;
    }

    private KvRequest RequestOf(Step step)
    {
        byte[] key = scenario.Keys.Next(_random);
        return step.IsWrite
            ? new KvRequest { Operation = new Put(key, _value), Id = ids.Begin(), TimeoutMs = RequestTimeoutMs }
            : new KvRequest { Operation = new Get(key), Read = step.Read, TimeoutMs = RequestTimeoutMs };
    }

    private static byte[] ValueOf(Scenario scenario, int index)
    {
        byte[] value = new byte[scenario.ValueBytes];
        new Random(unchecked((scenario.Seed * 17) + index)).NextBytes(value);
        return value;
    }
}
