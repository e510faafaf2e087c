using System.Buffers.Binary;
using static KvStore.Protocol.Tests.FuzzTests;

namespace KvStore.Protocol.Tests;

/// <summary>A decoder with the fault that <see cref="FuzzTests"/> looks for must be found by it.</summary>
public sealed class FuzzNegativeControls
{
    [Fact]
    public void A_decoder_that_allocates_what_a_length_claims_is_caught()
    {
        var e = Assert.ThrowsAny<Exception>(
            () => Fuzz(10, _ => MessagePackTree.WriteByUs(new byte[300]), Trusting));
        Assert.Contains("allocated", e.Message, StringComparison.Ordinal);

        static DecodeResult Trusting(byte[] input)
        {
            if (input.Length < 5 || input[0] != MessagePackCode.Bin32)
            {
                return DecodeResult.Malformed;
            }

            uint claimed = BinaryPrimitives.ReadUInt32BigEndian(input.AsSpan(1));
            return new byte[Math.Min(claimed, 1 << 20)].Length > input.Length ? DecodeResult.NeedMoreData : DecodeResult.Ok;
        }
    }
}
