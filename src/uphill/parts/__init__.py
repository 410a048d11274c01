"""The parts that an algorithm is composed of. Each is a choice; its fields are its settings.

    g = E[ Σ_t ∇ log π(a_t|s_t) · Ψ_t ]

The sampling defines the expectation, the estimator and the baseline make Ψ, the surrogate gives the
gradient, the optimiser takes the step. Floats are traced: changing one never recompiles.

A part owns all that it does: its state, its requirements, its checks, its metrics, its fitting. It
knows nothing of the update that calls it, and gets what it needs as arguments.
"""

from uphill.parts.action_value import ActionValue as ActionValue
from uphill.parts.algorithm import Algorithm as Algorithm
from uphill.parts.baselines import Baseline as Baseline
from uphill.parts.baselines import BatchMean as BatchMean
from uphill.parts.baselines import ConstantValue as ConstantValue
from uphill.parts.baselines import LeaveOneOut as LeaveOneOut
from uphill.parts.baselines import NoBaseline as NoBaseline
from uphill.parts.baselines import RunningMean as RunningMean
from uphill.parts.baselines import TimeMean as TimeMean
from uphill.parts.estimators import GAE as GAE
from uphill.parts.estimators import DiscountedRewardToGo as DiscountedRewardToGo
from uphill.parts.estimators import Estimator as Estimator
from uphill.parts.estimators import NStep as NStep
from uphill.parts.estimators import RewardToGo as RewardToGo
from uphill.parts.estimators import TDResidual as TDResidual
from uphill.parts.estimators import TotalReturn as TotalReturn
from uphill.parts.from_optax import Optax as Optax
from uphill.parts.from_optax import Transformation as Transformation
from uphill.parts.natural import NaturalGradient as NaturalGradient
from uphill.parts.natural import TrustRegion as TrustRegion
from uphill.parts.optimizers import SGD as SGD
from uphill.parts.optimizers import Adam as Adam
from uphill.parts.optimizers import GradientOptimizer as GradientOptimizer
from uphill.parts.optimizers import Optimizer as Optimizer
from uphill.parts.optimizers import RMSProp as RMSProp
from uphill.parts.sampling import Episodes as Episodes
from uphill.parts.sampling import Sampling as Sampling
from uphill.parts.sampling import Steps as Steps
from uphill.parts.sampling import WholeEpisodes as WholeEpisodes
from uphill.parts.sampling import Windows as Windows
from uphill.parts.schedule import Schedule as Schedule
from uphill.parts.seen import Seen as Seen
from uphill.parts.seen import Served as Served
from uphill.parts.surrogates import ClippedRatio as ClippedRatio
from uphill.parts.surrogates import ImportanceRatio as ImportanceRatio
from uphill.parts.surrogates import KLPenalty as KLPenalty
from uphill.parts.surrogates import Sample as Sample
from uphill.parts.surrogates import ScoreFunction as ScoreFunction
from uphill.parts.surrogates import Surrogate as Surrogate
from uphill.parts.value_function import Replay as Replay
from uphill.parts.value_function import ValueFunction as ValueFunction
from uphill.policies.convolutions import AutoConvolution as AutoConvolution
from uphill.policies.convolutions import Convolution as Convolution
from uphill.policies.policy import NetworkSettings as NetworkSettings
from uphill.policies.policy import PolicySettings as PolicySettings
