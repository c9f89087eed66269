"""Each paper that the code or a lesson cites, once."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """A source: `identifier` is an arXiv number, a DOI, or empty where it has neither."""

    key: str
    authors: str
    title: str
    year: int
    identifier: str = ""

    def __str__(self) -> str:
        """As a lesson prints it."""
        return f"{self.authors} ({self.year}). {self.title}." + (f" {self.identifier}" if self.identifier else "")


_ALL = (
    Paper("ainslie2023", "Ainslie et al.", "GQA: Training Generalized Multi-Query Transformer Models from Multi-Head "
          "Checkpoints", 2023, "arXiv:2305.13245"),
    Paper("allal2025", "Ben Allal et al.", "SmolLM2: When Smol Goes Big", 2025, "arXiv:2502.02737"),
    Paper("allenzhu2024", "Allen-Zhu & Li", "Physics of Language Models: Part 3.3, Knowledge Capacity Scaling "
          "Laws", 2024, "arXiv:2404.05405"),
    Paper("ba2016", "Ba, Kiros & Hinton", "Layer Normalization", 2016, "arXiv:1607.06450"),
    Paper("barkeshli2026", "Barkeshli et al.", "On the Origin of Neural Scaling Laws: From Random Graphs to Natural "
          "Language", 2026),
    Paper("besiroglu2024", "Besiroglu et al.", "Chinchilla Scaling: A Replication Attempt", 2024, "arXiv:2404.10102"),
    Paper("bridle1990", "Bridle", "Probabilistic Interpretation of Feedforward Classification Network Outputs, with "
          "Relationships to Statistical Pattern Recognition", 1990, "doi:10.1007/978-3-642-76153-9_28"),
    Paper("brown2020", "Brown et al.", "Language Models are Few-Shot Learners", 2020, "arXiv:2005.14165"),
    Paper("chowdhery2022", "Chowdhery et al.", "PaLM: Scaling Language Modeling with Pathways", 2022,
          "arXiv:2204.02311"),
    Paper("chen2023", "Chen et al.", "Extending Context Window of Large Language Models via Positional Interpolation",
          2023, "arXiv:2306.15595"),
    Paper("dai2024", "Dai et al.", "DeepSeekMoE: Towards Ultimate Expert Specialization in Mixture-of-Experts Language "
          "Models", 2024, "arXiv:2401.06066"),
    Paper("dao2022", "Dao et al.", "FlashAttention: Fast and Memory-Efficient Exact Attention with IO-Awareness", 2022,
          "arXiv:2205.14135"),
    Paper("deepseek2024", "DeepSeek-AI", "DeepSeek-V3 Technical Report", 2024, "arXiv:2412.19437"),
    Paper("elfwing2017", "Elfwing, Uchibe & Doya", "Sigmoid-Weighted Linear Units for Neural Network Function "
          "Approximation in Reinforcement Learning", 2017, "arXiv:1702.03118"),
    Paper("fan2018", "Fan, Lewis & Dauphin", "Hierarchical Neural Story Generation", 2018, "arXiv:1805.04833"),
    Paper("fedus2021", "Fedus, Zoph & Shazeer", "Switch Transformers: Scaling to Trillion Parameter Models with Simple "
          "and Efficient Sparsity", 2021, "arXiv:2101.03961"),
    Paper("gale2022", "Gale et al.", "MegaBlocks: Efficient Sparse Training with Mixture-of-Experts", 2022,
          "arXiv:2211.15841"),
    Paper("hagele2024", "Hägele et al.", "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations",
          2024, "arXiv:2405.18392"),
    Paper("hendrycks2016", "Hendrycks & Gimpel", "Gaussian Error Linear Units (GELUs)", 2016, "arXiv:1606.08415"),
    Paper("henighan2020", "Henighan et al.", "Scaling Laws for Autoregressive Generative Modeling", 2020,
          "arXiv:2010.14701"),
    Paper("hoffmann2022", "Hoffmann et al.", "Training Compute-Optimal Large Language Models", 2022,
          "arXiv:2203.15556"),
    Paper("holtzman2020", "Holtzman et al.", "The Curious Case of Neural Text Degeneration", 2020, "arXiv:1904.09751"),
    Paper("holtzman2021", "Holtzman et al.", "Surface Form Competition: Why the Highest Probability Answer Isn't "
          "Always Right", 2021, "arXiv:2104.08315"),
    Paper("hu2024", "Hu et al.", "MiniCPM: Unveiling the Potential of Small Language Models with Scalable Training "
          "Strategies", 2024, "arXiv:2404.06395"),
    Paper("hutto2014", "Hutto & Gilbert", "VADER: A Parsimonious Rule-Based Model for Sentiment Analysis of Social "
          "Media Text", 2014, "doi:10.1609/icwsm.v8i1.14550"),
    Paper("jiang2024", "Jiang et al.", "Mixtral of Experts", 2024, "arXiv:2401.04088"),
    Paper("kaplan2020", "Kaplan et al.", "Scaling Laws for Neural Language Models", 2020, "arXiv:2001.08361"),
    Paper("kingma2015", "Kingma & Ba", "Adam: A Method for Stochastic Optimization", 2015, "arXiv:1412.6980"),
    Paper("loshchilov2017", "Loshchilov & Hutter", "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017,
          "arXiv:1608.03983"),
    Paper("loshchilov2019", "Loshchilov & Hutter", "Decoupled Weight Decay Regularization", 2019, "arXiv:1711.05101"),
    Paper("milakov2018", "Milakov & Gimelshein", "Online Normalizer Calculation for Softmax", 2018, "arXiv:1805.02867"),
    Paper("muennighoff2023", "Muennighoff et al.", "Scaling Data-Constrained Language Models", 2023,
          "arXiv:2305.16264"),
    Paper("olsson2022", "Olsson et al.", "In-context Learning and Induction Heads", 2022, "arXiv:2209.11895"),
    Paper("pascanu2013", "Pascanu, Mikolov & Bengio", "On the Difficulty of Training Recurrent Neural Networks", 2013,
          "arXiv:1211.5063"),
    Paper("pearce2024", "Pearce & Song", "Reconciling Kaplan and Chinchilla Scaling Laws", 2024, "arXiv:2406.12907"),
    Paper("peng2023", "Peng et al.", "YaRN: Efficient Context Window Extension of Large Language Models", 2023,
          "arXiv:2309.00071"),
    Paper("polyak1964", "Polyak", "Some Methods of Speeding up the Convergence of Iteration Methods", 1964,
          "doi:10.1016/0041-5553(64)90137-5"),
    Paper("pope2022", "Pope et al.", "Efficiently Scaling Transformer Inference", 2022, "arXiv:2211.05102"),
    Paper("porian2024", "Porian et al.", "Resolving Discrepancies in Compute-Optimal Scaling of Language Models", 2024,
          "arXiv:2406.19146"),
    Paper("radford2018", "Radford et al.", "Improving Language Understanding by Generative Pre-Training", 2018),
    Paper("radford2019", "Radford et al.", "Language Models are Unsupervised Multitask Learners", 2019),
    Paper("salmon2011", "Salmon et al.", "Parallel Random Numbers: As Easy as 1, 2, 3", 2011,
          "doi:10.1145/2063384.2063405"),
    Paper("shannon1951", "Shannon", "Prediction and Entropy of Printed English", 1951,
          "doi:10.1002/j.1538-7305.1951.tb01366.x"),
    Paper("shazeer2017", "Shazeer et al.", "Outrageously Large Neural Networks: The Sparsely-Gated Mixture-of-Experts "
          "Layer", 2017, "arXiv:1701.06538"),
    Paper("shazeer2019", "Shazeer", "Fast Transformer Decoding: One Write-Head is All You Need", 2019,
          "arXiv:1911.02150"),
    Paper("shazeer2020", "Shazeer", "GLU Variants Improve Transformer", 2020, "arXiv:2002.05202"),
    Paper("su2021", "Su et al.", "RoFormer: Enhanced Transformer with Rotary Position Embedding", 2021,
          "arXiv:2104.09864"),
    Paper("touvron2023", "Touvron et al.", "LLaMA: Open and Efficient Foundation Language Models", 2023,
          "arXiv:2302.13971"),
    Paper("vaswani2017", "Vaswani et al.", "Attention Is All You Need", 2017, "arXiv:1706.03762"),
    Paper("wang2024", "Wang et al.", "Auxiliary-Loss-Free Load Balancing Strategy for Mixture-of-Experts", 2024,
          "arXiv:2408.15664"),
    Paper("xiao2023", "Xiao et al.", "Efficient Streaming Language Models with Attention Sinks", 2023,
          "arXiv:2309.17453"),
    Paper("zhang2019", "Zhang & Sennrich", "Root Mean Square Layer Normalization", 2019, "arXiv:1910.07467"),
    Paper("zhou2022", "Zhou et al.", "Mixture-of-Experts with Expert Choice Routing", 2022, "arXiv:2202.09368"),
    Paper("zoph2022", "Zoph et al.", "ST-MoE: Designing Stable and Transferable Sparse Expert Models", 2022,
          "arXiv:2202.08906"),
    Paper("aghajanyan2020", "Aghajanyan, Zettlemoyer & Gupta", "Intrinsic Dimensionality Explains the Effectiveness of "
          "Language Model Fine-Tuning", 2020, "arXiv:2012.13255"),
    Paper("biderman2024", "Biderman et al.", "LoRA Learns Less and Forgets Less", 2024, "arXiv:2405.09673"),
    Paper("brent1985", "Brent & Luk", "The Solution of Singular-Value and Symmetric Eigenvalue Problems on "
          "Multiprocessor Arrays", 1985, "doi:10.1137/0906007"),
    Paper("daleckii1965", "Daleckii & Krein", "Integration and Differentiation of Functions of Hermitian Operators and "
          "Applications to the Theory of Perturbations", 1965),
    Paper("demmel1992", "Demmel & Veselic", "Jacobi's Method is More Accurate than QR", 1992, "doi:10.1137/0613074"),
    Paper("derijk1989", "de Rijk", "A One-Sided Jacobi Algorithm for Computing the Singular Value Decomposition on a "
          "Vector Computer", 1989, "doi:10.1137/0910023"),
    Paper("dettmers2023", "Dettmers et al.", "QLoRA: Efficient Finetuning of Quantized LLMs", 2023,
          "arXiv:2305.14314"),
    Paper("eckart1936", "Eckart & Young", "The Approximation of One Matrix by Another of Lower Rank", 1936,
          "doi:10.1007/BF02288367"),
    Paper("golub1965", "Golub & Kahan", "Calculating the Singular Values and Pseudo-Inverse of a Matrix", 1965,
          "doi:10.1137/0702016"),
    Paper("golub1970", "Golub & Reinsch", "Singular Value Decomposition and Least Squares Solutions", 1970,
          "doi:10.1007/BF02163027"),
    Paper("golub2013", "Golub & Van Loan", "Matrix Computations, 4th edition", 2013),
    Paper("halko2011", "Halko, Martinsson & Tropp", "Finding Structure with Randomness: Probabilistic Algorithms for "
          "Constructing Approximate Matrix Decompositions", 2011, "arXiv:0909.4061"),
    Paper("hestenes1958", "Hestenes", "Inversion of Matrices by Biorthogonalization and Related Results", 1958,
          "doi:10.1137/0106005"),
    Paper("hu2021", "Hu et al.", "LoRA: Low-Rank Adaptation of Large Language Models", 2021, "arXiv:2106.09685"),
    Paper("kalajdzievski2023", "Kalajdzievski", "A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA", 2023,
          "arXiv:2312.03732"),
    Paper("lecun1998", "LeCun et al.", "Gradient-Based Learning Applied to Document Recognition", 1998,
          "doi:10.1109/5.726791"),
    Paper("li2018", "Li et al.", "Measuring the Intrinsic Dimension of Objective Landscapes", 2018, "arXiv:1804.08838"),
    Paper("musco2015", "Musco & Musco", "Randomized Block Krylov Methods for Stronger and Faster Approximate Singular "
          "Value Decomposition", 2015, "arXiv:1504.05477"),
    Paper("roy2007", "Roy & Vetterli", "The Effective Rank: A Measure of Effective Dimensionality", 2007),
    Paper("schulman2025", "Schulman et al.", "LoRA Without Regret", 2025),
)  # fmt: skip

PAPERS = {paper.key: paper for paper in _ALL}
