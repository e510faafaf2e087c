namespace KvStore.Storage.Tests;

/// <summary>Recovery without one of its witnesses. The fuzz must find what that one alone would have told.</summary>
public sealed class DamageFuzzNegativeControls
{
    [Theory]
    [InlineData(nameof(Blindness.Position), false)]
    [InlineData(nameof(Blindness.DurableLsn), true)]
    [InlineData(nameof(Blindness.FileLength), true)]
    [InlineData(nameof(Blindness.LaterBatches), true)]
    public void A13_a_recovery_without_a_witness_is_caught(string witness, bool positionTaken)
    {
        Blindness blindness = Enum.Parse<Blindness>(witness);
        for (int seed = 0; seed < 200; seed++)
        {
            DamageFuzz fuzz = new(seed, blindness, positionTaken);
            fuzz.Run();
            if (fuzz.FirstSilent is not null)
            {
                return;
            }
        }

        Assert.Fail($"nothing was lost without {witness}");
    }
}
